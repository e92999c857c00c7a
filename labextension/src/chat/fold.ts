/** A turn and an event of it make the turn after it. Pure; text is LiveTurn's. */
import type { AnswerPart, ITurn, TurnEvent } from '../wire/types';

/** The same object when the event changes nothing but the text. */
export function foldTurn(
  turn: ITurn,
  event: TurnEvent,
  parts: readonly AnswerPart[]
): ITurn {
  switch (event.type) {
    case 'pending':
      return { ...turn, state: event.held ? 'held' : 'pending' };
    case 'queued':
      return {
        ...turn,
        state: 'queued',
        queue: { position: event.position, ahead: event.ahead }
      };
    case 'started':
      return {
        ...turn,
        state: 'running',
        model: event.model,
        queue: undefined
      };
    case 'receipt':
      return { ...turn, receipt: event.receipt };
    case 'usage':
      return { ...turn, usage: { ...turn.usage, ...event.usage } };
    case 'finished':
      return {
        ...turn,
        state: event.reason,
        stopped_by: event.stopped_by ?? '',
        finished: Date.now() / 1000,
        parts: parts.map(part => ({ ...part })),
        queue: undefined,
        cursor: undefined
      };
    case 'error':
      return {
        ...turn,
        state: 'error',
        error: event.error,
        finished: Date.now() / 1000,
        parts: parts.map(part => ({ ...part })),
        queue: undefined,
        cursor: undefined
      };
    default:
      return foldAnswer(turn, event);
  }
}

/** Text means that it runs; an empty snapshot of a waiting turn means nothing. */
function foldAnswer(turn: ITurn, event: TurnEvent): ITurn {
  const early = turn.state === 'queued' || turn.state === 'pending';
  const empty = event.type === 'snapshot' && !event.parts?.length;
  return early && !empty
    ? { ...turn, state: 'running', queue: undefined }
    : turn;
}
