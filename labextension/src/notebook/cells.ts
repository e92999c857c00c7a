/**
 * Cells as they travel, from the live model (unsaved edits included) and from a
 * notebook's JSON (not open, or dragged). Reading the model copies no output:
 * strings are shared until they are cut.
 */
import type { ICellModel, ICodeCellModel } from '@jupyterlab/cells';
import type * as nbformat from '@jupyterlab/nbformat';
import type { IOutputModel } from '@jupyterlab/rendermime';

import type { ICell, IOutput } from '../wire/types';
import { cutText } from './cut';
import { imageNote, readOutput, readOutputs } from './output';
import { marked } from './share';

/** Characters kept of each output when the whole notebook travels. */
export const NOTEBOOK_OUTPUT = 4_000;
/** … and when a cell or an error was chosen by hand. */
export const CELL_OUTPUT = 24_000;
/** Characters of one cell's source. */
export const MAX_SOURCE = 400_000;
/** Cells of a notebook (the server takes 5,000). */
export const MAX_CELLS = 4_000;
/** Pictures of one part, and their base64 characters in all. */
export const MAX_IMAGES = 8;
export const MAX_IMAGE_TEXT = 4_000_000;

type Kind = ICell['kind'];

export function readCell(model: ICellModel, limit: number): ICell {
  const cell: ICell = {
    id: model.id,
    kind: kindOf(model.type),
    source: cutText(model.sharedModel.getSource(), MAX_SOURCE).text
  };
  return isCode(model) ? withOutputs(cell, model, limit) : cell;
}

function isCode(model: ICellModel): model is ICodeCellModel {
  return model.type === 'code';
}

function withOutputs(cell: ICell, model: ICodeCellModel, limit: number): ICell {
  if (model.executionCount !== null) {
    cell.execution_count = model.executionCount;
  }
  const outputs = readModels(model, limit);
  if (outputs.length > 0) {
    cell.outputs = outputs;
  }
  return cell;
}

interface IRemembered {
  /** of a stream, which grows without a signal; others change by `setData`, which signals */
  text: string | undefined;
  /** by the limit it was read with */
  values: Map<number, IOutput | null>;
}

/** What was read of an output (HTML parsed, a traceback cut), as long as it lives. */
const remembered = new WeakMap<IOutputModel, IRemembered>();
const watched = new WeakSet<IOutputModel>();

function forget(output: IOutputModel): void {
  remembered.delete(output);
}

function valuesOf(output: IOutputModel): IRemembered['values'] {
  const text = output.streamText?.text;
  const known = remembered.get(output);
  if (known && known.text === text) {
    return known.values;
  }
  const values: IRemembered['values'] = new Map();
  remembered.set(output, { text, values });
  if (!watched.has(output)) {
    watched.add(output);
    output.changed.connect(forget);
  }
  return values;
}

function readModel(output: IOutputModel, limit: number): IOutput | null {
  const values = valuesOf(output);
  let value = values.get(limit);
  if (value === undefined) {
    value = readMarked(output.toJSON(), limit);
    values.set(limit, value);
  }
  return value;
}

function readMarked(output: nbformat.IOutput, limit: number): IOutput | null {
  const read = readOutput(output, limit);
  return read && marked(read);
}

function readModels(model: ICodeCellModel, limit: number): IOutput[] {
  const area = model.outputs;
  const models = Array.from({ length: area.length }, (_, i) => area.get(i));
  return readOutputs(models, output => readModel(output, limit));
}

/** A cell of a notebook file, or of a drag from another notebook. */
export function jsonToCell(
  json: nbformat.ICell,
  position: number,
  limit: number
): ICell {
  const source = Array.isArray(json.source)
    ? json.source.join('')
    : (json.source ?? '');
  const cell: ICell = {
    id: typeof json.id === 'string' ? json.id : `cell-${position}`,
    kind: kindOf(json.cell_type),
    source: cutText(source, MAX_SOURCE).text
  };
  if (json.cell_type === 'code') {
    const code = json as nbformat.ICodeCell;
    if (typeof code.execution_count === 'number') {
      cell.execution_count = code.execution_count;
    }
    const outputs = readOutputs(code.outputs ?? [], output =>
      readMarked(output, limit)
    );
    if (outputs.length > 0) {
      cell.outputs = outputs;
    }
  }
  return cell;
}

function kindOf(type: string): Kind {
  return type === 'code' || type === 'markdown' ? type : 'raw';
}

/**
 * Few pictures travel: those of the active cell first, then the last ones of the
 * notebook, until number or size is reached. The others are mentioned.
 */
export function boundImages(cells: ICell[], active?: string): ICell[] {
  const order = [...cells].reverse();
  order.sort((a, b) => Number(b.id === active) - Number(a.id === active));
  const kept = new Set<IOutput>();
  let size = 0;
  for (const cell of order) {
    for (const output of [...(cell.outputs ?? [])].reverse()) {
      const length = output.image?.data.length ?? 0;
      const fits = kept.size < MAX_IMAGES && size + length <= MAX_IMAGE_TEXT;
      if (length > 0 && fits) {
        kept.add(output);
        size += length;
      }
    }
  }
  return cells.map(cell => withoutImages(cell, kept));
}

function withoutImages(cell: ICell, kept: ReadonlySet<IOutput>): ICell {
  if (!cell.outputs?.some(output => output.image && !kept.has(output))) {
    return cell;
  }
  const outputs = cell.outputs.map(output => {
    if (!output.image || kept.has(output)) {
      return output;
    }
    const { image, ...rest } = output;
    const note = imageNote(image.mime, image.data.length);
    return { ...rest, text: output.text ? `${output.text}\n${note}` : note };
  });
  return { ...cell, outputs };
}
