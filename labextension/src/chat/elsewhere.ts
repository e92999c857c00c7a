/**
 * Turns that run in conversations which are not shown. Each is asked for every few
 * seconds, in a hidden page as seldom as those shown there: the server sees that
 * somebody waits for the answer, and its end is told.
 */
import { isGone } from '../api';
import { FINAL_STATES } from '../wire/types';
import type { IConversationSummary, ITurn } from '../wire/types';
import { HIDDEN_POLL } from './reader';
import type { Turns } from './tree';

/** Milliseconds between two looks of a page that can be seen. */
const POLL = 5_000;

export interface IElsewherePorts {
  turn(id: string): Promise<ITurn>;
  /** the conversation shown */
  shown(): string;
  /** nobody can see the page */
  hidden(): boolean;
  /** an ended turn is among them once, and then no more */
  onTurns(turns: Turns): void;
}

export class Elsewhere {
  constructor(private readonly ports: IElsewherePorts) {}

  /** These are no longer shown; the ones that have ended do not matter. */
  add(turns: Iterable<ITurn>): void {
    const fresh = [...turns].filter(turn => !FINAL_STATES.has(turn.state));
    if (fresh.length) {
      const known = [...this.turns.values()];
      this.set([...known, ...fresh]);
      this.timer ??= this.later();
    }
  }

  /** What the list says to run in these conversations; the one shown is read. */
  async find(conversations: readonly IConversationSummary[]): Promise<void> {
    for (const { id, running } of conversations) {
      if (running && id !== this.ports.shown()) {
        const turn = await this.ports.turn(running).catch(() => null);
        if (turn && id !== this.ports.shown()) {
          this.add([turn]);
        }
      }
    }
  }

  /** This conversation is shown now: its turns are read there. */
  drop(conversationId: string): void {
    const left = [...this.turns.values()].filter(
      turn => turn.conversation_id !== conversationId
    );
    if (left.length < this.turns.size) {
      this.set(left);
    }
  }

  dispose(): void {
    this.turns = new Map();
    clearTimeout(this.timer);
  }

  private async poll(): Promise<void> {
    for (const id of [...this.turns.keys()]) {
      const turn = await this.ports.turn(id).catch((error: unknown) => {
        return isGone(error) ? null : this.turns.get(id);
      });
      if (this.turns.has(id) && turn !== undefined) {
        this.replace(id, turn);
      }
    }
    this.timer = this.turns.size ? this.later() : undefined;
  }

  private later(): ReturnType<typeof setTimeout> {
    const rest = this.ports.hidden() ? HIDDEN_POLL : POLL;
    return setTimeout(() => void this.poll(), rest);
  }

  /** null: it is gone. */
  private replace(id: string, turn: ITurn | null): void {
    const others = [...this.turns.values()].filter(other => other.id !== id);
    if (turn) {
      this.set([...others, turn]);
    }
    if (!turn || FINAL_STATES.has(turn.state)) {
      this.set(others);
    }
  }

  private set(turns: readonly ITurn[]): void {
    this.turns = new Map(turns.map(turn => [turn.id, turn]));
    this.ports.onTurns(this.turns);
  }

  private turns: Turns = new Map();
  private timer: ReturnType<typeof setTimeout> | undefined;
}
