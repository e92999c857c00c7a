/**
 * Context items: a name for a thing, and how to read it when the question is sent.
 *
 * Keys: `notebook:PATH`, `file:PATH`, `folder:PATH`, `cells:PATH#ID,ID`,
 * `error:PATH#ID`, `selection:PATH` (what is selected then) and
 * `selection:PATH#CELL:START-END` (added by hand: the text of that moment, by its characters).
 */
import type { Contents } from '@jupyterlab/services';
import type * as nbformat from '@jupyterlab/nbformat';
import type { NotebookPanel } from '@jupyterlab/notebook';
import type { TranslationBundle } from '@jupyterlab/translation';

import type { IContextItem } from '../chat/tokens';
import type {
  ContextPart,
  ICellsPart,
  IErrorPart,
  ISelectionPart
} from '../wire/types';
import { jsonToCell, CELL_OUTPUT } from './cells';
import {
  cellModels,
  errorName,
  errorOf,
  jsonToCells,
  lastErrorCell,
  readCells,
  readError,
  readNotebook,
  selected,
  selectionPart,
  type ISelected
} from './collect';
import { wellFormed } from './cut';
import type { Documents, OpenDocument } from './documents';

export type IWorkspaceReader = Pick<Contents.IManager, 'get'>;

/** The server refuses longer text; it reads the file itself and cuts it. */
const MAX_EDITOR_TEXT = 900_000;

export class Items {
  constructor(
    private readonly documents: Documents,
    private readonly contents: IWorkspaceReader,
    private readonly trans: TranslationBundle
  ) {}

  document(document: OpenDocument, auto = false): IContextItem {
    return document.kind === 'notebook'
      ? this.notebook(document.path, auto)
      : this.file(document.path, auto);
  }

  /** A path of the workspace; notebooks are known by their name. */
  path(path: string, folder: boolean): IContextItem {
    if (folder) {
      return this.folder(path);
    }
    return /\.ipynb$/i.test(path) ? this.notebook(path) : this.file(path);
  }

  notebook(path: string, auto = false): IContextItem {
    return {
      key: `notebook:${path}`,
      kind: 'notebook',
      label: baseName(path),
      path,
      auto,
      read: most => this.readNotebookAt(path, most)
    };
  }

  file(path: string, auto = false): IContextItem {
    return {
      key: `file:${path}`,
      kind: 'file',
      label: baseName(path),
      path,
      auto,
      read: async () => this.readFileAt(path)
    };
  }

  folder(path: string): IContextItem {
    return {
      key: `folder:${path}`,
      kind: 'folder',
      label: `${baseName(path)}/`,
      path,
      auto: false,
      read: async () => ({ type: 'folder', path: path === '' ? '.' : path })
    };
  }

  cells(
    panel: NotebookPanel,
    path: string,
    ids: readonly string[]
  ): IContextItem {
    return {
      key: `cells:${path}#${ids.join(',')}`,
      kind: 'cells',
      label: this.cellsLabel(panel, ids),
      path,
      auto: false,
      read: () => this.readCellsAt(path, ids)
    };
  }

  /** Cells dragged from a notebook that is not known here: as they were dragged. */
  draggedCells(cells: readonly nbformat.ICell[]): IContextItem {
    const copies = cells.map((cell, index) =>
      jsonToCell(cell, index, CELL_OUTPUT)
    );
    const ids = copies.map(cell => cell.id).join(',');
    return {
      key: `cells:#${ids}`,
      kind: 'cells',
      label: this.countLabel(copies.length),
      auto: false,
      read: async () => ({ type: 'cells', path: 'notebook', cells: copies })
    };
  }

  error(panel: NotebookPanel, path: string, id: string): IContextItem | null {
    const part = readError(panel, path, id);
    if (!part) {
      return null;
    }
    const name = errorName(part.cell) || this.trans.__('Error');
    return {
      key: `error:${path}#${id}`,
      kind: 'error',
      label: this.trans.__('%1 in cell %2', name, this.number(panel, id)),
      path,
      auto: false,
      read: () => this.readErrorAt(path, id)
    };
  }

  lastError(document: OpenDocument | null): IContextItem | null {
    if (document?.kind !== 'notebook') {
      return null;
    }
    const model = lastErrorCell(document.widget);
    return model && this.error(document.widget, document.path, model.id);
  }

  /** The selection of the moment the question is sent. */
  liveSelection(document: OpenDocument): IContextItem | null {
    const now = this.heldSelection(document);
    return (
      now && {
        ...now,
        key: `selection:${document.path}`,
        held: now.key,
        auto: true,
        read: async () => {
          const what = this.selectionNow(document);
          return what && selectionPart(document, what);
        }
      }
    );
  }

  /** Added by hand: this text, wherever the caret goes afterwards. */
  heldSelection(document: OpenDocument): IContextItem | null {
    const what = this.selectionNow(document);
    if (!what) {
      return null;
    }
    const part = selectionPart(document, what);
    const { path, cell_id: cell = '' } = part;
    return {
      key: `selection:${path}#${cell}:${what.start}-${what.end}`,
      kind: 'selection',
      label: this.selectionLabel(part),
      path,
      auto: false,
      read: async () => part
    };
  }

  /** The thing of a key that was kept over a reload; null: not known any more. */
  resolve(key: string): IContextItem | null {
    const colon = key.indexOf(':');
    const kind = key.slice(0, colon);
    const rest = key.slice(colon + 1);
    switch (kind) {
      case 'notebook':
        return this.notebook(rest);
      case 'file':
        return this.file(rest);
      case 'folder':
        return this.folder(rest);
      case 'cells':
      case 'error':
        return this.resolveCells(kind, rest);
      default:
        return null;
    }
  }

  /** "3" for the third cell: cells have no other name that stays. */
  number(panel: NotebookPanel, id: string): number {
    return cellModels(panel).findIndex(model => model.id === id) + 1;
  }

  private resolveCells(
    kind: 'cells' | 'error',
    rest: string
  ): IContextItem | null {
    const hash = rest.lastIndexOf('#');
    const path = rest.slice(0, hash);
    const ids = rest.slice(hash + 1).split(',');
    const live = this.live(path);
    if (!live) {
      return null;
    }
    return kind === 'cells'
      ? this.cells(live, path, ids)
      : this.error(live, path, ids[0]);
  }

  private selectionNow(document: OpenDocument): ISelected | null {
    const editor = document.widget.isDisposed
      ? null
      : this.documents.editor(document);
    return editor && selected(editor);
  }

  private selectionLabel(part: ISelectionPart): string {
    const open = this.documents.find(part.path);
    const place =
      open?.kind === 'notebook' && part.cell_id !== undefined
        ? this.trans.__('Cell %1', this.number(open.widget, part.cell_id))
        : baseName(part.path);
    const { start_line: first, end_line: last } = part;
    return first === last
      ? this.trans.__('%1, line %2', place, first)
      : this.trans.__('%1, lines %2–%3', place, first, last);
  }

  private cellsLabel(panel: NotebookPanel, ids: readonly string[]): string {
    return ids.length === 1
      ? this.trans.__('Cell %1', this.number(panel, ids[0]))
      : this.countLabel(ids.length);
  }

  private countLabel(count: number): string {
    return this.trans._n('%1 cell', '%1 cells', count, count);
  }

  private async readNotebookAt(
    path: string,
    most?: number
  ): Promise<ContextPart | null> {
    const live = this.live(path);
    // The server reads one that is not open, and says so in the receipt if it is none.
    return live ? readNotebook(live, path, most) : { type: 'file', path };
  }

  /**
   * The open notebook. One that JupyterLab has not loaded holds nothing that its file
   * does not, and is not waited for: where loading failed its `ready` never comes.
   */
  private live(path: string): NotebookPanel | null {
    const open = this.documents.find(path);
    return open?.kind === 'notebook' && open.widget.context.isReady
      ? open.widget
      : null;
  }

  /** Of the live notebook, or of its file when that was closed; null: they are gone. */
  private async readCellsAt(
    path: string,
    ids: readonly string[]
  ): Promise<ICellsPart | null> {
    const live = this.live(path);
    if (live) {
      return readCells(live, path, ids);
    }
    try {
      const file = await this.contents.get(path, {
        type: 'notebook',
        content: true
      });
      return jsonToCells(file.content as nbformat.INotebookContent, path, ids);
    } catch {
      return null;
    }
  }

  private async readErrorAt(
    path: string,
    id: string
  ): Promise<IErrorPart | null> {
    const part = await this.readCellsAt(path, [id]);
    return part && errorOf(part.cells[0], path, part.language);
  }

  private readFileAt(path: string): ContextPart {
    const open = this.documents.find(path);
    if (open?.kind !== 'editor' || !open.widget.context.model.dirty) {
      return { type: 'file', path };
    }
    const text = open.widget.content.model.sharedModel.getSource();
    return text.length > MAX_EDITOR_TEXT
      ? { type: 'file', path }
      : { type: 'file', path, text: wellFormed(text) };
  }
}

export function baseName(path: string): string {
  return path.split('/').pop() || '/';
}
