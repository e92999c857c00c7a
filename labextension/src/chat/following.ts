/**
 * The turns of the conversation shown that are being written, or soon will be: read as
 * they grow. Their text grows in `live`, outside of the state.
 */
import type { ITurn, TurnEvent } from '../wire/types';
import { foldTurn } from './fold';
import { LiveTurn } from './live';
import { EventsReader } from './reader';
import type { IReaderPorts } from './reader';
import { isRunning, waiting } from './tree';
import type { Turns } from './tree';

export interface IFollowingPorts extends Omit<IReaderPorts, 'onEvents'> {
  /** those of the conversation shown, as they are known */
  turns(): Turns;
}

/** Of the turns of one conversation: the server gives 32 in one response. */
const MOST_RUNNING = 28;
/** The next ones to start; those behind them are followed when they come near. */
const MOST_PENDING = 4;

export class Following {
  constructor(private readonly ports: IFollowingPorts) {
    this.reader = new EventsReader({
      ...ports,
      onEvents: (id, events) => this.onEvents(id, events),
      onTurn: turn => this.onTurn(turn)
    });
  }

  /** A turn's text while it is written; null when it is not being written. */
  live(turnId: string): LiveTurn | null {
    return this.lives.get(turnId) ?? null;
  }

  /** The turns are others now, or other ones of them run. */
  follow(): void {
    const turns = this.ports.turns();
    const running = [...turns.values()].filter(isRunning);
    const pending = waiting(turns).filter(turn => turn.state === 'pending');
    const followed = [
      ...running.slice(0, MOST_RUNNING),
      ...pending.slice(0, MOST_PENDING)
    ];
    // What nobody reads (it has ended, it is held) does not grow here: when it is read
    // again, it begins with the text that it has then.
    const read = new Set(followed.map(turn => turn.id));
    [...this.lives.keys()]
      .filter(id => !read.has(id))
      .forEach(id => this.lives.delete(id));
    followed.forEach(turn => this.liveOf(turn.id));
    this.reader.follow(followed);
  }

  /** The page was hidden or shown, or is back on the network. */
  restart(): void {
    this.reader.restart();
  }

  dispose(): void {
    this.reader.dispose();
  }

  private onEvents(id: string, events: readonly TurnEvent[]): void {
    const before = this.ports.turns().get(id);
    if (!before) {
      return;
    }
    const live = this.liveOf(id);
    let turn = before;
    for (const event of events) {
      live.apply(event);
      turn = foldTurn(turn, event, live.parts);
    }
    // The last words are on the page before the panel is drawn anew.
    live.notify();
    if (turn !== before) {
      this.ports.onTurn(turn);
    }
  }

  private onTurn(turn: ITurn): void {
    if (this.ports.turns().has(turn.id)) {
      const live = this.liveOf(turn.id);
      live.replace(turn.parts ?? []);
      this.ports.onTurn(turn);
      live.notify();
    }
  }

  private liveOf(id: string): LiveTurn {
    const known = this.lives.get(id);
    if (known) {
      return known;
    }
    const live = new LiveTurn(id, this.ports.turns().get(id)?.parts);
    this.lives.set(id, live);
    return live;
  }

  private readonly reader: EventsReader;
  private readonly lives = new Map<string, LiveTurn>();
}
