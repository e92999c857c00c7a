import type { ITurn, TurnState } from '../../wire/types';
import { endedBetween } from '../attention';
import { localCommand } from '../commands';
import { fileItem } from '../items';
import { startersFor, type ISight } from '../starters';

const NOTHING: ISight = {
  document: null,
  cells: null,
  selection: null,
  error: null
};
const NOTEBOOK = fileItem('a.ipynb');

function names(sight: Partial<ISight>): string[] {
  return startersFor({ ...NOTHING, ...sight }).map(starter => starter.name);
}

describe('starters', () => {
  it('offers to mend the last error first, with the error attached', () => {
    const error = { ...fileItem('a.ipynb'), kind: 'error' as const };
    const starters = startersFor({
      ...NOTHING,
      document: NOTEBOOK,
      cells: 3,
      error
    });
    expect(starters[0]).toEqual({ name: 'fix', items: [error] });
    expect(starters).toHaveLength(4);
  });

  it('follows what is open', () => {
    expect(
      names({ selection: NOTEBOOK, document: NOTEBOOK, cells: 3 })
    ).toEqual(['explain', 'improve', 'summarise', 'next']);
    expect(names({ document: NOTEBOOK, cells: 0 })).toEqual(['begin', 'help']);
    expect(names({ document: fileItem('a.py') })).toEqual(['file', 'help']);
    expect(names({})).toEqual(['begin', 'help']);
  });
});

describe('client-side commands', () => {
  it('are only what the whole message says', () => {
    expect(localCommand('/clear')).toBe('clear');
    expect(localCommand(' /help ')).toBe('help');
    expect(localCommand('/fix')).toBeNull();
    expect(localCommand('/clear the air')).toBeNull();
  });
});

function turns(
  state: TurnState,
  change: Partial<ITurn> = {}
): Map<string, ITurn> {
  const turn: ITurn = {
    id: 't',
    conversation_id: 'c',
    parent_id: null,
    state,
    mode: 'ask',
    text: '',
    created: 0,
    ...change
  };
  return new Map([[turn.id, turn]]);
}

describe('answers that end unseen', () => {
  it('are those that were on their way before', () => {
    expect(endedBetween(turns('running'), turns('complete'))).toHaveLength(1);
    expect(endedBetween(turns('queued'), turns('error'))).toHaveLength(1);
    expect(endedBetween(turns('complete'), turns('complete'))).toEqual([]);
    expect(endedBetween(new Map(), turns('complete'))).toEqual([]);
  });

  it('are not those that the user stopped', () => {
    const stopped = turns('stopped', { stopped_by: 'user' });
    expect(endedBetween(turns('running'), stopped)).toEqual([]);
  });
});
