import {
  answersTo,
  bestMatches,
  triggerAt,
  withCommand,
  withMention,
  type ITrigger
} from '../mentions';

function at(text: string): ITrigger | null {
  return triggerAt(text, text.length);
}

describe('mentions and commands', () => {
  it('finds the @ the caret stands in', () => {
    expect(at('@')).toEqual({ kind: 'mention', start: 0, query: '' });
    expect(at('see @da')).toEqual({ kind: 'mention', start: 4, query: 'da' });
    expect(at('line\n@한글')).toEqual({
      kind: 'mention',
      start: 5,
      query: '한글'
    });
  });

  it('takes an address, a finished word and a text without @ for none', () => {
    expect(at('ann@example.org')).toBeNull();
    expect(at('@ data')).toBeNull();
    expect(at('@data\nand')).toBeNull();
    expect(at(`@data ${'and so on '.repeat(9)}`)).toBeNull();
    expect(at('hello')).toBeNull();
  });

  it('takes a name with spaces for one, if there is such a thing', () => {
    expect(at('see @cell 15')).toEqual({
      kind: 'mention',
      start: 4,
      query: 'cell 15'
    });
    const cell = { label: 'Cell 15: plot()', path: 'a.ipynb' };
    const file = { label: '한글 파일.csv', path: '한글 파일.csv' };
    const error = { label: 'KeyError in cell 2', words: 'last error' };
    expect(answersTo(cell, 'cell 15')).toBe(true);
    expect(answersTo(file, '한글 파')).toBe(true);
    expect(answersTo(error, 'last err')).toBe(true);
    expect(answersTo(cell, 'cell 15 and')).toBe(false);
  });

  it('finds a command only at the beginning of the text', () => {
    expect(at('/fi')).toEqual({ kind: 'command', start: 0, query: 'fi' });
    expect(at('a /fi')).toBeNull();
    expect(at('/fix it')).toBeNull();
    expect(at('/usr/lib')).toBeNull();
  });

  it('takes a mention that stands alone out of the text', () => {
    expect(withMention('@da', at('@da')!, 'data.csv')).toEqual({
      text: '',
      caret: 0
    });
  });

  it('leaves the name of a mention in its sentence', () => {
    const text = 'compare @da with b';
    const trigger = triggerAt(text, 11)!;
    expect(withMention(text, trigger, 'data.csv')).toEqual({
      text: 'compare data.csv with b',
      caret: 17
    });
    expect(withMention('read @da', at('read @da')!, 'data.csv')).toEqual({
      text: 'read data.csv ',
      caret: 14
    });
  });

  it('puts a command before what was already written', () => {
    expect(withCommand('/fi', at('/fi')!, 'fix')).toEqual({
      text: '/fix ',
      caret: 5
    });
  });

  it('ranks a beginning before a word before a place inside', () => {
    const names = ['my-data', 'metadata', 'data.csv', 'dxaxtxa', 'other'];
    expect(bestMatches(names, 'data', name => name)).toEqual([
      'data.csv',
      'my-data',
      'metadata',
      'dxaxtxa'
    ]);
  });
});
