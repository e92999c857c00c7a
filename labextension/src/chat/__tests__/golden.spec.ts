/** The golden files that Python writes: read whole, in 5-byte and 1-byte pieces. */
import { readFileSync } from 'fs';
import { join } from 'path';

import { foldTurn } from '../fold';
import { LiveTurn } from '../live';
import { parseEvent } from '../../wire/events';
import { SSEDecoder, type ISSEMessage } from '../../wire/sse';
import type { AnswerPart, ITurn, TurnEvent } from '../../wire/types';

const HERE = join(__dirname, '../../../../tests/contract');

interface IFold {
  state: ITurn['state'];
  parts?: AnswerPart[];
  model?: string;
  receipt?: object;
  usage?: object;
  error?: object;
  stopped_by?: string;
  queue?: object;
}

interface ICase {
  name: string;
  file: string;
  events: [string, { type: string }][];
  folds: IFold[];
}

const { streams } = JSON.parse(
  readFileSync(join(HERE, 'cases.json'), 'utf-8')
) as { streams: ICase[] };

function decode(file: string, step: number): ISSEMessage[] {
  const bytes = new Uint8Array(readFileSync(join(HERE, file)));
  const decoder = new SSEDecoder();
  const messages: ISSEMessage[] = [];
  for (let at = 0; at < bytes.length; at += step) {
    messages.push(...decoder.feed(bytes.subarray(at, at + step)));
  }
  return messages;
}

function fold(messages: readonly ISSEMessage[]): ITurn {
  const live = new LiveTurn('t');
  let turn: ITurn = {
    id: 't',
    conversation_id: 'c',
    parent_id: null,
    state: 'running',
    mode: 'ask',
    text: '',
    created: 0
  };
  const events = messages
    .map(message => parseEvent(message.data))
    .filter((event): event is TurnEvent => event !== null);
  for (const event of events) {
    live.apply(event);
    turn = foldTurn(turn, event, live.parts);
  }
  return { ...turn, parts: live.parts };
}

describe.each(streams.map(each => [each.name, each] as const))(
  'the stream %s',
  (_, { file, events, folds }) => {
    it.each([1_000_000, 5, 1])('decodes in pieces of %d bytes', step => {
      const found = decode(file, step).map(message => [
        message.id,
        JSON.parse(message.data)
      ]);
      expect(found).toEqual(events);
    });

    it('folds to the turn that Python folds it to', () => {
      if (folds.length !== 1) {
        return;
      }
      const [expected] = folds;
      const turn = fold(decode(file, 1_000_000));
      expect(turn.parts).toEqual(expected.parts ?? []);
      expect(turn.state).toBe(expected.state);
      expect(turn.receipt).toEqual(expected.receipt);
      expect(turn.usage).toEqual(expected.usage);
      expect(turn.error).toEqual(expected.error);
      expect(turn.stopped_by || undefined).toEqual(expected.stopped_by);
    });
  }
);
