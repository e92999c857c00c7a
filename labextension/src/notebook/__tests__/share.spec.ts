import type { ICell, IOutput } from '../../wire/types';
import { marked, shared } from '../share';

function cell(id: string, text: string): ICell {
  const output = marked({ kind: 'stdout', text });
  return { id, kind: 'code', source: 'x', outputs: [output] };
}

const lines = (count: number) => 'some words\n'.repeat(count);
const outputs = (cells: ICell[]): IOutput[] =>
  cells.flatMap(each => each.outputs ?? []);

describe('the outputs of a notebook', () => {
  const cells = Array.from({ length: 10 }, (_, i) => cell(`c${i}`, lines(300)));

  it('travel as they are when the model can read them', () => {
    expect(shared(cells, 50_000)).toBe(cells);
  });

  it('get shorter, all in the same way, when it cannot', () => {
    const lengths = outputs(shared(cells, 16_000)).map(o => o.text?.length);
    expect(new Set(lengths).size).toBe(1);
    expect(lengths[0]).toBeGreaterThan(1_000);
    expect(lengths[0]).toBeLessThan(1_510);
  });

  it('are never shorter than what says something', () => {
    const [first] = outputs(shared(cells, 0));
    expect(first.text?.length).toBeGreaterThan(300);
    expect(first.text).toMatch(/^some words\n[^]*…[^]*some words\n$/);
  });

  it('tell how much was left out', () => {
    const [first] = outputs(shared(cells, 0));
    const left = (first.text?.length ?? 0) - '\n…\n'.length;
    expect(left + (first.cut ?? 0)).toBeGreaterThanOrEqual(3_298);
    expect(left + (first.cut ?? 0)).toBeLessThanOrEqual(3_300);
  });

  it('of the active cell stay as they are', () => {
    const [, second] = outputs(shared(cells, 0, 'c1'));
    expect(second.text).toBe(lines(300));
  });

  it('keep their mark when they get shorter', () => {
    const marks = outputs(cells).map(output => output.mark);
    expect(outputs(shared(cells, 0)).map(output => output.mark)).toEqual(marks);
  });

  it('that are short have no mark and are not cut', () => {
    const short = [cell('c', lines(20))];
    expect(outputs(short)[0].mark).toBeUndefined();
    expect(outputs(shared(short, 0))).toEqual(outputs(short));
  });

  it('of an error keep more of their end', () => {
    const text = `${lines(300)}ValueError: no`;
    const failed: ICell = {
      id: 'e',
      kind: 'code',
      outputs: [marked({ kind: 'error', text })]
    };
    const [output] = outputs(shared([failed], 0));
    const [head, tail] = (output.text ?? '').split('…');
    expect(tail.length).toBeGreaterThan(head.length);
    expect(tail).toMatch(/ValueError: no$/);
  });
});

describe('the mark of an output', () => {
  const markOf = (text: string) => marked({ kind: 'stdout', text }).mark;

  it('is the same for the same text', () => {
    expect(markOf(lines(300))).toBe(markOf(lines(300)));
    expect(markOf(lines(300))).toMatch(/^[0-9a-f]{16}$/);
  });

  it('is another for each of many texts that differ in one character', () => {
    const text = lines(100);
    const marks = Array.from(text, (_, at) =>
      markOf(`${text.slice(0, at)}#${text.slice(at + 1)}`)
    );
    expect(new Set([...marks, markOf(text)]).size).toBe(text.length + 1);
  });
});
