/** What documents give to the chat: by themselves, by `@`, and by drag and drop. */
import type { Contents } from '@jupyterlab/services';
import type * as nbformat from '@jupyterlab/nbformat';
import type { NotebookPanel } from '@jupyterlab/notebook';
import type { TranslationBundle } from '@jupyterlab/translation';
import type { Widget } from '@lumino/widgets';

import { bestMatches } from '../chat/mentions';
import type { IContextItem, IContextSource, IDragData } from '../chat/tokens';
import type { ISearchHit } from '../wire/types';
import { cellModels } from './collect';
import type { Documents, OpenDocument } from './documents';
import {
  CELLS_MIME,
  LIVE_CELLS_MIME,
  PATHS_MIME,
  RICH_PATH_MIME
} from './drop';
import type { Items, IWorkspaceReader } from './items';

/** Rows of one kind in the list behind `@`. */
const MAX_CELL_MENTIONS = 8;
const MAX_FILE_MENTIONS = 20;
/** Characters of a cell that its mention shows and is found by. */
const EXCERPT = 48;

export interface ISourceOptions {
  documents: Documents;
  items: Items;
  contents: IWorkspaceReader;
  trans: TranslationBundle;
  /** files, folders and symbols of the workspace */
  search(query: string): Promise<ISearchHit[]>;
}

export class ContextSource implements IContextSource {
  constructor(private readonly options: ISourceOptions) {}

  automatic(): IContextItem[] {
    const { documents, items } = this.options;
    const current = documents.current();
    if (!current) {
      return [];
    }
    const selection = items.liveSelection(current);
    return [items.document(current, true), ...(selection ? [selection] : [])];
  }

  onChanged(listener: () => void): () => void {
    return this.options.documents.changed.add(listener);
  }

  async mentions(query: string, search: boolean): Promise<IContextItem[]> {
    const { documents, items } = this.options;
    const found = search ? this.search(query.trim()) : [];
    const current = documents.current();
    const held = current && items.heldSelection(current);
    const error = items.lastError(current);
    const named: INamed[] = [
      ...this.named(held, this.options.trans.__('selection')),
      ...this.named(error, this.options.trans.__('last error')),
      ...documents.all().map(document => ({
        item: items.document(document),
        words: document.path
      }))
    ];
    const rows = [
      ...bestMatches(named, query, row => row.words).map(row => row.item),
      ...(current ? this.cellMentions(current, query) : []),
      ...(await found)
    ];
    return uniqueByKey(rows);
  }

  lastError(): IContextItem | null {
    const { documents, items } = this.options;
    return items.lastError(documents.current());
  }

  resolve(key: string): IContextItem | null {
    return this.options.items.resolve(key);
  }

  async dropped(data: IDragData): Promise<IContextItem[]> {
    if (data.hasData(CELLS_MIME)) {
      return this.droppedCells(data);
    }
    if (!data.hasData(PATHS_MIME)) {
      return [];
    }
    const rich = data.getData(RICH_PATH_MIME) as
      { model?: Contents.IModel } | undefined;
    const paths = data.getData(PATHS_MIME) as string[];
    return Promise.all(
      paths.map(path =>
        this.pathItem(
          path,
          rich?.model?.path === path ? rich.model.type : undefined
        )
      )
    );
  }

  /** A file or a folder, as the contents API says when nobody knows yet. */
  async pathItem(path: string, type?: string): Promise<IContextItem> {
    const known =
      type ??
      (await this.options.contents
        .get(path, { content: false })
        .then(model => model.type)
        .catch(() => 'file'));
    return this.options.items.path(path, known === 'directory');
  }

  private droppedCells(data: IDragData): IContextItem[] {
    const { documents, items } = this.options;
    const widgets = (data.getData(LIVE_CELLS_MIME) ?? []) as CellWidget[];
    const ids = widgets.map(cell => cell.model.id);
    const owner = documents
      .all()
      .find(
        document =>
          document.kind === 'notebook' &&
          document.widget.content.widgets.some(cell => cell === widgets[0])
      );
    if (owner?.kind === 'notebook') {
      return [items.cells(owner.widget, owner.path, ids)];
    }
    return [items.draggedCells(data.getData(CELLS_MIME) as nbformat.ICell[])];
  }

  private named(item: IContextItem | null, name: string): INamed[] {
    return item
      ? [{ item: { ...item, words: name }, words: `${name} ${item.label}` }]
      : [];
  }

  private cellMentions(document: OpenDocument, query: string): IContextItem[] {
    if (document.kind !== 'notebook') {
      return [];
    }
    const rows = this.cellRows(document.widget, document.path);
    return query === ''
      ? nearest(rows, document.widget.content.activeCellIndex)
      : cellsThatMatch(rows, query);
  }

  private cellRows(panel: NotebookPanel, path: string): ICellRow[] {
    const { items, trans } = this.options;
    return cellModels(panel).map((model, index) => {
      const source = model.sharedModel.getSource();
      const excerpt = firstLine(source);
      const name = trans.__('Cell %1', index + 1);
      const label = excerpt === '' ? name : `${name}: ${excerpt}`;
      return {
        number: index + 1,
        name,
        source,
        item: () => ({ ...items.cells(panel, path, [model.id]), label })
      };
    });
  }

  private async search(query: string): Promise<IContextItem[]> {
    const { items, search } = this.options;
    const hits = await search(query).catch((): ISearchHit[] => []);
    return hits.slice(0, MAX_FILE_MENTIONS).map(hit => {
      const item = items.path(hit.path, hit.kind === 'folder');
      return hit.kind === 'symbol'
        ? { ...item, label: `${hit.name} · ${item.label}` }
        : item;
    });
  }
}

interface INamed {
  item: IContextItem;
  /** what it is found by */
  words: string;
}

interface ICellRow {
  number: number;
  name: string;
  source: string;
  item(): IContextItem;
}

type CellWidget = Widget & { readonly model: { readonly id: string } };

/** The active cell, then its neighbours, nearest first. */
function nearest(rows: ICellRow[], active: number): IContextItem[] {
  return [...rows]
    .filter(row => row.source.trim() !== '')
    .sort(
      (a, b) =>
        Math.abs(a.number - 1 - active) - Math.abs(b.number - 1 - active)
    )
    .slice(0, MAX_CELL_MENTIONS)
    .map(row => row.item());
}

/** "3", "cell3" and "cell" by number and name; any other word by what the cell says. */
function cellsThatMatch(rows: ICellRow[], query: string): IContextItem[] {
  const wanted = squeezed(query);
  const byName = rows.filter(
    row =>
      String(row.number) === wanted || squeezed(row.name).startsWith(wanted)
  );
  const byText = rows.filter(row => squeezed(row.source).includes(wanted));
  return [...new Set([...byName, ...byText])]
    .slice(0, MAX_CELL_MENTIONS)
    .map(row => row.item());
}

function squeezed(text: string): string {
  return text.toLowerCase().replace(/[\s-]+/g, '');
}

function firstLine(source: string): string {
  const line =
    source
      .split('\n')
      .map(text => text.trim())
      .find(text => text !== '') ?? '';
  return line.length > EXCERPT ? `${line.slice(0, EXCERPT - 1)}…` : line;
}

function uniqueByKey(items: IContextItem[]): IContextItem[] {
  const seen = new Set<string>();
  return items.filter(item => !seen.has(item.key) && seen.add(item.key));
}
