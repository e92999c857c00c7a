import {
  ANSWER_MIME,
  answerToBundle,
  answerToCode,
  bundleToAnswer,
  isYounger,
  isMarkdown
} from '../answer';
import type { IAnswer } from '../answer';

const CARD = { version: 1, id: 'a', model: 'm', format: 'markdown', notes: [] };

function read(
  card: Record<string, unknown>,
  others: Record<string, unknown> = {}
): IAnswer {
  const answer = bundleToAnswer({
    [ANSWER_MIME]: { ...CARD, ...card },
    ...others
  });
  if (!answer) {
    throw new Error('no answer');
  }
  return answer;
}

describe('a saved answer', () => {
  it('has its text in the Markdown beside it', () => {
    const answer = read(
      { state: 'stopped' },
      { 'text/markdown': 'so **far**' }
    );
    expect(answer.text).toBe('so **far**');
    expect(answer.state).toBe('stopped');
  });

  it('prefers the text the model wrote to what was made inert', () => {
    const beside = { 'text/markdown': 'a &lt;b>' };
    expect(read({ text: 'a <b>' }, beside).text).toBe('a <b>');
  });

  it('has plain text where no Markdown was asked for', () => {
    const beside = { 'text/plain': '# not a title' };
    expect(read({ format: 'text' }, beside).text).toBe('# not a title');
  });

  it('may be written as a list of lines', () => {
    expect(read({}, { 'text/markdown': ['a\n', 'b'] }).text).toBe('a\nb');
  });

  it('is nothing where there is none', () => {
    expect(bundleToAnswer({})).toBeNull();
    expect(bundleToAnswer({ 'text/markdown': 'x' })).toBeNull();
  });

  it('is what stands beside it when it is damaged', () => {
    for (const damaged of ['text', null, 7, ['a']]) {
      const beside = { 'text/markdown': 'the **answer**' };
      const answer = bundleToAnswer({ [ANSWER_MIME]: damaged, ...beside });
      expect(answer).toMatchObject({
        text: 'the **answer**',
        format: 'markdown'
      });
      const plain = { [ANSWER_MIME]: damaged, 'text/plain': '# no title' };
      expect(bundleToAnswer(plain)).toMatchObject({
        text: '# no title',
        format: 'text'
      });
    }
    expect(read({ state: 7, notes: 'x', model: null }).state).toBe('complete');
  });
});

describe('the code of an answer', () => {
  it('is all fenced blocks, parted by an empty line', () => {
    const text = 'a\n```python\nx = 1\n```\nb\n~~~\ny\n~~~\n';
    expect(answerToCode(read({ text }))).toBe('x = 1\n\ny');
  });

  it('counts a block that is not finished', () => {
    expect(answerToCode(read({ text: '```\nx = 1' }))).toBe('x = 1');
  });

  it('keeps a shorter fence inside', () => {
    const text = '````\n```\nx\n```\n````';
    expect(answerToCode(read({ text }))).toBe('```\nx\n```');
  });

  it('is empty without a fence, and in plain text', () => {
    expect(answerToCode(read({ text: 'x = 1' }))).toBe('');
    expect(answerToCode(read({ format: 'text', text: '```\nx\n```' }))).toBe(
      ''
    );
  });
});

it('source formats are drawn as source while they stream', () => {
  const html = read({ format: 'html', text: '<b>' });
  expect(isMarkdown({ ...html, state: 'streaming' })).toBe(false);
  expect(isMarkdown(html)).toBe(true);
});

describe('an answer that its kernel could not finish', () => {
  it('is read again from what the notebook keeps of it', () => {
    const answer: IAnswer = {
      id: 'a',
      model: 'small',
      format: 'markdown',
      state: 'interrupted',
      text: 'one **two',
      reasoning: '',
      status: '',
      notes: []
    };
    expect(bundleToAnswer(answerToBundle(answer))).toEqual(answer);
  });
});

describe('the younger of two cards', () => {
  const old = { id: 'a', asked: 10 };
  it.each([
    ['one asked later', { id: 'b', asked: 11 }, old, true],
    [
      'one before which nobody told when',
      { id: 'b', asked: 1 },
      { id: 'a' },
      true
    ],
    ['not the same card', { ...old, asked: 11 }, old, false],
    ['not one asked earlier', { id: 'b', asked: 9 }, old, false],
    ['not one beside something else', { id: 'b', asked: 11 }, undefined, false],
    ['not one that is damaged', 7, old, false]
  ])('is %s', (_, card, than, younger) => {
    expect(isYounger(card, than)).toBe(younger);
  });
});
