/** What stands in `data:` becomes an event; what is not known becomes null. */
import type { TurnEvent } from './types';

const KNOWN: ReadonlySet<string> = new Set<TurnEvent['type']>([
  'snapshot',
  'pending',
  'queued',
  'started',
  'receipt',
  'text',
  'reasoning',
  'usage',
  'finished',
  'error'
]);

export function parseEvent(data: string): TurnEvent | null {
  try {
    const value = JSON.parse(data) as { type?: unknown } | null;
    return value !== null &&
      typeof value === 'object' &&
      typeof value.type === 'string' &&
      KNOWN.has(value.type)
      ? (value as TurnEvent)
      : null;
  } catch {
    return null;
  }
}

/** `k.cursor`: which of the turns that were asked for, and where to go on. */
export function parseCursor(id: string): { index: number; cursor: string } {
  const dot = id.indexOf('.');
  const index = dot < 0 ? 0 : Number(id.slice(0, dot));
  return {
    index: Number.isInteger(index) ? index : 0,
    cursor: dot < 0 ? id : id.slice(dot + 1)
  };
}
