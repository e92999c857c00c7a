/**
 * Reads the turns that are being written: at most one events response per page
 * (a browser has six connections per origin for all its tabs), only while a turn
 * that is shown runs. A hidden page closes it and asks every 20 s; one that is seen
 * beside many others may find no room and asks every 2 s. A response that ends too
 * early is opened again from the cursor, sooner first, later last.
 */
import { ApiError, Crowded, isGone, type IRead, type IReadFrom } from '../api';
import { FINAL_STATES } from '../wire/types';
import type { ITurn, TurnEvent } from '../wire/types';

export interface IReaderPorts {
  events(
    from: readonly IReadFrom[],
    signal: AbortSignal
  ): AsyncIterable<IRead[]>;
  turn(id: string): Promise<ITurn>;
  /** events of one turn that arrived together */
  onEvents(id: string, events: readonly TurnEvent[]): void;
  /** the whole turn, as a poll found it */
  onTurn(turn: ITurn): void;
  /** null: connected; else since when it is not (performance.now) */
  onConnection(lostSince: number | null): void;
  /** the server does not know this turn any more */
  onGone(id: string): void;
  /** the server refuses this user (401, 403); it is asked again, seldom */
  onSignedOut(): void;
  hidden(): boolean;
}

/** Milliseconds between two polls of a hidden page. */
export const HIDDEN_POLL = 20_000;
/** Milliseconds between two tries of a page that found no room to read. */
export const CROWDED_POLL = 2_000;
/** The server says something every 10 s; after this long the line is dead. */
export const SILENCE = 30_000;
const FIRST_WAIT = 250;
const LONGEST_WAIT = 8_000;

export class EventsReader {
  constructor(private readonly ports: IReaderPorts) {}

  /** Follow exactly these turns; the ones already followed keep their cursor. */
  follow(turns: readonly ITurn[]): void {
    const wanted = new Set(turns.map(turn => turn.id));
    const fresh = turns.filter(turn => !this.cursors.has(turn.id));
    const gone = [...this.cursors.keys()].filter(id => !wanted.has(id));
    if (!fresh.length && !gone.length) {
      return;
    }
    gone.forEach(id => this.cursors.delete(id));
    fresh.forEach(turn => this.cursors.set(turn.id, turn.cursor ?? '0'));
    this.restart();
  }

  /** Call when the page was hidden or shown, and when the network came back. */
  restart(): void {
    const epoch = this.next();
    this.wait = FIRST_WAIT;
    this.lost(false);
    if (!this.cursors.size) {
      return;
    }
    if (this.ports.hidden()) {
      this.timer = setTimeout(() => void this.poll(epoch), HIDDEN_POLL);
    } else {
      void this.read(epoch);
    }
  }

  dispose(): void {
    this.cursors.clear();
    this.next();
  }

  /** Whatever reads or polls now has been succeeded: it ends without a word. */
  private next(): number {
    this.abort?.abort();
    clearTimeout(this.timer);
    this.epoch += 1;
    return this.epoch;
  }

  private async read(epoch: number): Promise<void> {
    const abort = new AbortController();
    this.abort?.abort();
    this.abort = abort;
    const from = [...this.cursors].map(([id, cursor]) => ({ id, cursor }));
    const watchdog = (): void => {
      clearTimeout(this.timer);
      this.timer = setTimeout(() => abort.abort(), SILENCE);
    };
    watchdog();
    try {
      for await (const reads of this.ports.events(from, abort.signal)) {
        if (epoch !== this.epoch) {
          return;
        }
        watchdog();
        this.lost(false);
        if (reads.length) {
          this.wait = FIRST_WAIT;
          this.deliver(reads);
        }
      }
    } catch (error) {
      if (epoch !== this.epoch) {
        return;
      }
      if (isGone(error) || error instanceof Crowded) {
        clearTimeout(this.timer);
        this.wait = error instanceof Crowded ? CROWDED_POLL : this.wait;
        this.lost(false);
        await this.poll(epoch);
        return;
      }
      if (isSignedOut(error)) {
        this.ports.onSignedOut();
        this.wait = LONGEST_WAIT;
        this.later(() => this.read(epoch));
        return;
      }
    }
    if (epoch === this.epoch && this.cursors.size) {
      this.lost(true);
      this.later(() => this.read(epoch));
    }
  }

  private deliver(reads: readonly IRead[]): void {
    const batches = new Map<string, TurnEvent[]>();
    for (const { id, cursor, event } of reads) {
      if (!this.cursors.has(id)) {
        continue;
      }
      if (cursor !== '') {
        this.cursors.set(id, cursor);
      }
      if (event) {
        const batch = batches.get(id);
        if (batch) {
          batch.push(event);
        } else {
          batches.set(id, [event]);
        }
      }
    }
    for (const [id, events] of batches) {
      const last = events[events.length - 1];
      if (last.type === 'finished' || last.type === 'error') {
        this.cursors.delete(id);
      }
      this.ports.onEvents(id, events);
    }
  }

  /** Ask for each turn; then go on as the page is (hidden or not). */
  private async poll(epoch: number): Promise<void> {
    for (const id of [...this.cursors.keys()]) {
      try {
        const turn = await this.ports.turn(id);
        if (epoch !== this.epoch) {
          return;
        }
        if (FINAL_STATES.has(turn.state)) {
          this.cursors.delete(id);
        } else if (turn.cursor) {
          this.cursors.set(id, turn.cursor);
        }
        this.ports.onTurn(turn);
      } catch (error) {
        if (epoch === this.epoch && isGone(error)) {
          this.cursors.delete(id);
          this.ports.onGone(id);
        }
      }
      if (epoch !== this.epoch) {
        return;
      }
    }
    if (!this.cursors.size) {
      return;
    }
    if (this.ports.hidden()) {
      this.timer = setTimeout(() => void this.poll(epoch), HIDDEN_POLL);
    } else {
      this.later(() => this.read(epoch));
    }
  }

  private later(run: () => Promise<void>): void {
    const jitter = 0.75 + Math.random() / 2;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => void run(), this.wait * jitter);
    this.wait = Math.min(LONGEST_WAIT, this.wait * 2);
  }

  private lost(lost: boolean): void {
    if (lost === (this.lostSince !== null)) {
      return;
    }
    this.lostSince = lost ? performance.now() : null;
    this.ports.onConnection(this.lostSince);
  }

  private readonly cursors = new Map<string, string>();
  private abort: AbortController | undefined;
  /** Grows with each restart: only the newest read or poll goes on. */
  private epoch = 0;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private wait = FIRST_WAIT;
  private lostSince: number | null = null;
}

function isSignedOut(error: unknown): boolean {
  return (
    error instanceof ApiError && (error.status === 401 || error.status === 403)
  );
}
