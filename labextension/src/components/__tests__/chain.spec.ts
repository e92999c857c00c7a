import type { AnswerPart, ITurn } from '../../wire/types';
import { answerText, chainsOf, shownParts, textOf } from '../transcript/chain';

function turn(id: string, continues: string, ...parts: AnswerPart[]): ITurn {
  return {
    id,
    conversation_id: 'c',
    parent_id: continues || null,
    continue_of: continues || undefined,
    mode: 'ask',
    text: '',
    state: 'complete',
    created: 0,
    parts
  };
}

const text = (words: string): AnswerPart => ({ type: 'text', text: words });
const reasoning = (words: string): AnswerPart => ({
  type: 'reasoning',
  text: words
});

describe('answers that go on with one another', () => {
  it('stand in one chain; a question begins the next', () => {
    const branch = [turn('a', ''), turn('b', 'a'), turn('c', '')];
    const chains = chainsOf(branch);
    expect(chains.get('a')).toBe(chains.get('b'));
    expect(chains.get('c')).toEqual([branch[2]]);
  });

  it('are one text, also when the fence is cut', () => {
    const chain = [
      turn('a', '', text('```python\nx =')),
      turn('b', 'a', text(' 1\n```'))
    ];
    expect(answerText(chain)).toBe('```python\nx = 1\n```');
  });

  it('keep reasoning in its place', () => {
    const chain = [
      turn('a', '', reasoning('hm'), text('one')),
      turn('b', 'a', reasoning('so'), text(' two'), text('three'))
    ];
    const partsOf = (each: ITurn): readonly AnswerPart[] => each.parts ?? [];
    const shown = shownParts(chain, partsOf);
    expect(shown.map(part => textOf(part, partsOf))).toEqual([
      'hm',
      'one two',
      'so',
      'three'
    ]);
  });

  it('begin anew where nothing was said', () => {
    const chain = [turn('a', '', reasoning('hm')), turn('b', 'a', text('one'))];
    expect(answerText(chain)).toBe('one');
  });
});
