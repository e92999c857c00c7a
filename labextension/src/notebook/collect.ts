/** From an open document to the parts that travel, at the moment of sending. */
import type { ICellModel } from '@jupyterlab/cells';
import type { CodeEditor } from '@jupyterlab/codeeditor';
import type * as nbformat from '@jupyterlab/nbformat';
import type { NotebookPanel } from '@jupyterlab/notebook';

import type { IKernelLanguage } from '../chat/codecell';
import type {
  ICell,
  ICellsPart,
  IErrorPart,
  INotebookPart,
  ISelectionPart
} from '../wire/types';
import {
  boundImages,
  CELL_OUTPUT,
  jsonToCell,
  MAX_CELLS,
  NOTEBOOK_OUTPUT,
  readCell
} from './cells';
import { wellFormed } from './cut';
import type { OpenDocument } from './documents';
import { shared } from './share';

/** Characters of a selection, and of an editor's unsaved text (the server's limit is a million). */
export const MAX_SELECTION = 400_000;

export function notebookLanguage(panel: NotebookPanel): string {
  const info = panel.model?.getMetadata('language_info') as
    { name?: string } | undefined;
  return info?.name ?? panel.model?.defaultKernelLanguage ?? 'python';
}

/** What its kernel says of itself; a notebook that has not met one yet is taken for IPython's where it is Python's. */
export function kernelLanguage(panel: NotebookPanel): IKernelLanguage {
  const { sessionContext } = panel;
  const info = panel.model?.getMetadata('language_info') as
    { name?: string; pygments_lexer?: string } | undefined;
  const specs = sessionContext.specsManager.specs?.kernelspecs;
  const spec = specs?.[sessionContext.session?.kernel?.name ?? ''];
  const name = info?.name || spec?.language || 'python';
  const lexer = info?.pygments_lexer ?? 'ipython';
  return {
    name,
    magics: name.toLowerCase() === 'python' && lexer.startsWith('ipython')
  };
}

/** The notebook as it is now; `most`: characters that the model can read in all. */
export function readNotebook(
  panel: NotebookPanel,
  path: string,
  most = Infinity
): INotebookPart {
  const models = cellModels(panel);
  const index = panel.content.activeCellIndex;
  const active = models[index]?.id;
  const [from, to] = windowAround(models.length, Math.max(0, index));
  const cells = models
    .slice(from, to)
    .map(model => readCell(model, NOTEBOOK_OUTPUT));
  const part: INotebookPart = {
    type: 'notebook',
    path,
    cells: shared(boundImages(cells, active), most, active),
    language: notebookLanguage(panel)
  };
  if (active !== undefined) {
    part.active_cell = active;
  }
  return part;
}

function jsonLanguage(content: nbformat.INotebookContent): string {
  return content.metadata?.language_info?.name ?? 'python';
}

/** Cells by id, in the notebook's order; those that are gone are left out. */
export function readCells(
  panel: NotebookPanel,
  path: string,
  ids: readonly string[]
): ICellsPart | null {
  const cells = cellModels(panel)
    .filter(model => ids.includes(model.id))
    .map(model => readCell(model, CELL_OUTPUT));
  return cellsPart(path, cells, notebookLanguage(panel));
}

/** The same of a notebook that is not open, from its file. */
export function jsonToCells(
  content: nbformat.INotebookContent,
  path: string,
  ids: readonly string[]
): ICellsPart | null {
  const cells = content.cells
    .map((cell, index) => jsonToCell(cell, index, CELL_OUTPUT))
    .filter(cell => ids.includes(cell.id));
  return cellsPart(path, cells, jsonLanguage(content));
}

function cellsPart(
  path: string,
  cells: ICell[],
  language: string
): ICellsPart | null {
  return cells.length > 0
    ? { type: 'cells', path, cells: boundImages(cells), language }
    : null;
}

export function cellModels(panel: NotebookPanel): ICellModel[] {
  return Array.from(panel.model?.cells ?? []);
}

/** The part of a huge notebook that may travel: as much before as after. */
function windowAround(length: number, index: number): [number, number] {
  if (length <= MAX_CELLS) {
    return [0, length];
  }
  const from = Math.min(Math.max(0, index - MAX_CELLS / 2), length - MAX_CELLS);
  return [from, from + MAX_CELLS];
}

// -- the last error

/** The cell whose error is the newest: the highest execution count, else the last in order. */
export function lastErrorCell(panel: NotebookPanel): ICellModel | null {
  let found: ICellModel | null = null;
  let newest = -1;
  for (const model of cellModels(panel)) {
    const count = errorCount(model);
    if (count !== null && count >= newest) {
      found = model;
      newest = count;
    }
  }
  return found;
}

/** The execution count of a cell that ended in an error (0 when it has none); null: no error. */
function errorCount(model: ICellModel): number | null {
  if (model.type !== 'code') {
    return null;
  }
  const code = model as ICellModel & {
    readonly executionCount: number | null;
    readonly outputs: { length: number; get(i: number): { type: string } };
  };
  for (let index = code.outputs.length - 1; index >= 0; index--) {
    if (code.outputs.get(index).type === 'error') {
      return code.executionCount ?? 0;
    }
  }
  return null;
}

export function readError(
  panel: NotebookPanel,
  path: string,
  id: string
): IErrorPart | null {
  const model = cellModels(panel).find(cell => cell.id === id);
  return model
    ? errorOf(readCell(model, CELL_OUTPUT), path, notebookLanguage(panel))
    : null;
}

/** null: the cell ended in no error. */
export function errorOf(
  cell: ICell,
  path: string,
  language?: string
): IErrorPart | null {
  return cell.outputs?.some(output => output.kind === 'error')
    ? { type: 'error', path, cell, language }
    : null;
}

/** "ValueError" of a cell's traceback. */
export function errorName(cell: ICell): string {
  const error = cell.outputs?.find(output => output.kind === 'error');
  const last = error?.text?.trimEnd().split('\n').pop() ?? '';
  return /^([\w.]+)/.exec(last)?.[1] ?? '';
}

// -- the selection

export interface ISelected {
  /** characters from the beginning; start < end */
  start: number;
  end: number;
  /** 1-based, inclusive */
  startLine: number;
  endLine: number;
  text: string;
}

/** What is selected in an editor; null when the selection is empty or only blank. */
export function selected(editor: CodeEditor.IEditor): ISelected | null {
  const range = editor.getSelection();
  const ends = [
    editor.getOffsetAt(range.start),
    editor.getOffsetAt(range.end)
  ].sort((a, b) => a - b);
  const [start, end] = ends;
  if (start === end) {
    return null;
  }
  const text = editor.model.sharedModel.getSource().slice(start, end);
  if (text.trim() === '') {
    return null;
  }
  const first = editor.getPositionAt(start)?.line ?? 0;
  const last = editor.getPositionAt(end);
  // A selection that ends before a line's first character does not hold that line.
  const over = last !== undefined && last.column === 0 && last.line > first;
  const endLine = (last?.line ?? first) - (over ? 1 : 0);
  return { start, end, startLine: first + 1, endLine: endLine + 1, text };
}

export function selectionPart(
  document: OpenDocument,
  what: ISelected
): ISelectionPart {
  const part: ISelectionPart = {
    type: 'selection',
    path: document.path,
    text: wellFormed(what.text.slice(0, MAX_SELECTION)),
    start_line: what.startLine,
    end_line: what.endLine
  };
  if (document.kind === 'notebook') {
    part.language = notebookLanguage(document.widget);
    const id = document.widget.content.activeCell?.model.id;
    return id === undefined ? part : { ...part, cell_id: id };
  }
  return part;
}
