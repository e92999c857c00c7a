/**
 * How much of its outputs a notebook takes along: what the model can read, and not
 * megabytes of which the server would cut all but a few kilobytes. Which content an
 * output has is told by a mark, so that a cell that travels shorter this time (another
 * cell is active, another model was chosen) is still the same cell.
 */
import type { ICell, IOutput } from '../wire/types';
import { cutOutput } from './output';

/** Characters of one output, step by step, and of the shortest that still says something. */
const STEPS = [1_500, 400];
const LEAST = STEPS[STEPS.length - 1];

/** The mark of an output that may travel shorter; what is short always travels whole. */
export function marked(output: IOutput): IOutput {
  const text = output.text ?? '';
  return text.length > LEAST ? { ...output, mark: markOf(text) } : output;
}

/**
 * The cells with outputs as long as `most` characters allow for all of it; those of
 * the active cell stay as they are. Sources are never cut here.
 */
export function shared(cells: ICell[], most: number, active?: string): ICell[] {
  let rest = most;
  const lengths: number[] = [];
  for (const { id, source, outputs = [] } of cells) {
    rest -= source?.length ?? 0;
    for (const { text = '' } of outputs) {
      if (id === active) {
        rest -= text.length;
      } else {
        lengths.push(text.length);
      }
    }
  }
  const need = (step: number): number =>
    lengths.reduce((sum, length) => sum + Math.min(length, step), 0);
  if (need(Infinity) <= rest) {
    return cells;
  }
  const step = STEPS.find(each => need(each) <= rest) ?? LEAST;
  return cells.map(cell =>
    cell.id === active || !cell.outputs
      ? cell
      : { ...cell, outputs: cell.outputs.map(each => shortened(each, step)) }
  );
}

const shorter = new WeakMap<IOutput, { step: number; output: IOutput }>();

function shortened(output: IOutput, step: number): IOutput {
  if ((output.text?.length ?? 0) <= step) {
    return output;
  }
  const known = shorter.get(output);
  if (known?.step === step) {
    return known.output;
  }
  const made = cutOutput(output, step);
  shorter.set(output, { step, output: made });
  return made;
}

/** 64 bits of a text in two halves (FNV-1a, and the same with another prime). */
function markOf(text: string): string {
  let one = 0x811c9dc5;
  let two = 0x9e3779b9;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    one = Math.imul(one ^ code, 0x01000193);
    two = Math.imul(two ^ code, 0x85ebca6b);
    two ^= two >>> 15;
  }
  return [one, two]
    .map(half => (half >>> 0).toString(16).padStart(8, '0'))
    .join('');
}
