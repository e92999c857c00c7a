/**
 * A turn while it is being written. Text grows here, outside of the store's
 * state, so that a token wakes up the one message it belongs to and nothing else.
 */
import type { AnswerPart, TurnEvent } from '../wire/types';

export class LiveTurn {
  constructor(
    readonly id: string,
    parts: readonly AnswerPart[] = []
  ) {
    this.parts = parts.map(part => ({ ...part }));
  }

  /** Grows in place: the last part's text gets longer, parts are added. */
  parts: AnswerPart[];
  /** Grows when `parts` was replaced (a snapshot), not continued. */
  generation = 0;
  /** Milliseconds (performance.now): for "thought for N s", "reading… N s". */
  readonly since = now();
  thinkingSince: number | null = null;
  thinkingMs = 0;
  /** Nothing will be added. */
  ended = false;
  /** Reasoning is being written at this moment. */
  thinking = false;

  apply(event: TurnEvent): void {
    if (event.type === 'snapshot') {
      this.replace(event.parts ?? []);
    } else if (event.type === 'text') {
      this.append('text', event.delta);
    } else if (event.type === 'reasoning') {
      this.append('reasoning', event.delta);
    } else if (event.type === 'finished' || event.type === 'error') {
      this.endThinking();
      this.ended = true;
    }
  }

  replace(parts: readonly AnswerPart[]): void {
    this.endThinking();
    this.parts = parts.map(part => ({ ...part }));
    this.generation += 1;
  }

  subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  notify(): void {
    this.listeners.forEach(listener => listener());
  }

  private append(type: AnswerPart['type'], delta: string): void {
    if (delta === '') {
      return;
    }
    const last = this.parts[this.parts.length - 1];
    if (last?.type === type) {
      last.text += delta;
    } else {
      this.parts.push({ type, text: delta });
    }
    if (type === 'reasoning' && this.thinkingSince === null) {
      this.thinkingSince = now();
    } else if (type === 'text') {
      this.endThinking();
    }
    this.thinking = this.thinkingSince !== null;
  }

  private endThinking(): void {
    if (this.thinkingSince !== null) {
      this.thinkingMs += now() - this.thinkingSince;
      this.thinkingSince = null;
    }
    this.thinking = false;
  }

  private readonly listeners = new Set<() => void>();
}

function now(): number {
  return performance.now();
}
