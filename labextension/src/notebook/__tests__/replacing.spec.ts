import { decide, type ISituation } from '../replacing';

const ABOUT_A_CELL: ISituation = {
  how: 'cell',
  asked: 'here',
  empty: false,
  selected: false
};

describe('what is replaced', () => {
  it.each<[string, Partial<ISituation>, string]>([
    ['the cell asked about, where the user is', {}, 'here'],
    [
      'the cell asked about, where the user has gone on',
      { asked: 'elsewhere' },
      'asked'
    ],
    ['what is selected in it', { selected: true }, 'selection'],
    [
      'what was asked about, as long as it is selected',
      { how: 'selection', selected: true },
      'selection'
    ],
    ['the active cell, after a question about none', { how: null }, 'here'],
    [
      'what is selected, after a question about none',
      { how: null, selected: true },
      'selection'
    ],
    [
      'an empty cell that the user went to',
      { how: 'active', asked: 'elsewhere', empty: true },
      'here'
    ],
    [
      'what the user selected meanwhile',
      { how: 'active', asked: 'gone', selected: true },
      'selection'
    ]
  ])('is %s', (_, change, spot) => {
    expect(decide({ ...ABOUT_A_CELL, ...change })).toEqual({ spot });
  });

  it.each<[string, Partial<ISituation>, string, string[]]>([
    ['the cell is gone', { asked: 'gone' }, 'gone', ['below', 'here']],
    [
      'the cell is gone and the user selected text',
      { asked: 'gone', selected: true },
      'gone',
      ['below', 'selection']
    ],
    [
      'the cell is gone that the user was in',
      { how: 'active', asked: 'gone' },
      'gone',
      ['below', 'here']
    ],
    [
      'the notebook is closed',
      { asked: 'closed' },
      'closed',
      ['below', 'here']
    ],
    [
      'the cell cannot be edited',
      { asked: 'locked' },
      'locked',
      ['below', 'here']
    ],
    [
      'the user went to another cell',
      { how: 'active', asked: 'elsewhere' },
      'moved_on',
      ['asked', 'here']
    ],
    [
      'text is selected in another cell',
      { asked: 'elsewhere', selected: true },
      'selected_elsewhere',
      ['asked', 'selection']
    ],
    [
      'the text asked about is selected no more',
      { how: 'selection' },
      'unselected',
      ['below', 'here']
    ],
    [
      'the text asked about is in another cell',
      { how: 'selection', asked: 'elsewhere' },
      'unselected',
      ['below', 'asked', 'here']
    ]
  ])('is asked when %s', (_, change, doubt, spots) => {
    expect(decide({ ...ABOUT_A_CELL, ...change })).toEqual({ doubt, spots });
  });
});
