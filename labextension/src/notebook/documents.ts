/**
 * The documents the user works in: notebooks and text editors. The *current* one is
 * the one used last, also while the chat has the focus or another kind of tab shows.
 * Trackers are optional: Notebook 7 has one document a page, and its tree has none.
 */
import type { JupyterFrontEnd } from '@jupyterlab/application';
import type { IDocumentWidget } from '@jupyterlab/docregistry';
import type { FileEditor, IEditorTracker } from '@jupyterlab/fileeditor';
import type { INotebookTracker, NotebookPanel } from '@jupyterlab/notebook';
import type { CodeEditor } from '@jupyterlab/codeeditor';
import type { Widget } from '@lumino/widgets';

import { Announcer } from './announcer';

export type EditorWidget = IDocumentWidget<FileEditor>;

export type OpenDocument =
  | { kind: 'notebook'; widget: NotebookPanel; path: string }
  | { kind: 'editor'; widget: EditorWidget; path: string };

export interface IDocumentsOptions {
  shell: JupyterFrontEnd.IShell;
  notebooks: INotebookTracker | null;
  editors: IEditorTracker | null;
  /** drops a drive's name ("RTC:a.ipynb"): paths are the server's */
  localPath(path: string): string;
}

export class Documents {
  constructor(private readonly options: IDocumentsOptions) {
    const { shell, notebooks, editors } = options;
    shell.currentChanged?.connect(this.onShell, this);
    notebooks?.currentChanged.connect(this.onTracker, this);
    editors?.currentChanged.connect(this.onTracker, this);
    notebooks?.widgetAdded.connect((_, panel) => this.watch(panel));
    editors?.widgetAdded.connect((_, widget) => this.watch(widget));
    notebooks?.activeCellChanged.connect(this.onCell, this);
    notebooks?.selectionChanged.connect(this.onCell, this);
    notebooks?.forEach(panel => this.watch(panel));
    editors?.forEach(widget => this.watch(widget));
    this.onTracker();
  }

  /** Fires once a frame at most: another document, path, cell or selection. */
  readonly changed = new Announcer();

  current(): OpenDocument | null {
    const last = this.last && !this.last.isDisposed ? this.last : null;
    const { notebooks, editors } = this.options;
    return this.known(
      last ?? notebooks?.currentWidget ?? editors?.currentWidget ?? null
    );
  }

  find(path: string): OpenDocument | null {
    return this.all().find(document => document.path === path) ?? null;
  }

  /** All open ones, the current one first. */
  all(): OpenDocument[] {
    const found: OpenDocument[] = [];
    const add = (widget: Widget): void => {
      const document = this.known(widget);
      if (document) {
        found.push(document);
      }
    };
    this.options.notebooks?.forEach(add);
    this.options.editors?.forEach(add);
    const current = this.current()?.widget;
    return found.sort(
      (a, b) => Number(b.widget === current) - Number(a.widget === current)
    );
  }

  /** The editor that has the caret: of the active cell, or of the file. */
  editor(document: OpenDocument): CodeEditor.IEditor | null {
    return document.kind === 'editor'
      ? document.widget.content.editor
      : (document.widget.content.activeCell?.editor ?? null);
  }

  private known(widget: Widget | null): OpenDocument | null {
    const { notebooks, editors, localPath } = this.options;
    if (!widget || widget.isDisposed) {
      return null;
    }
    if (notebooks?.has(widget)) {
      const panel = widget as NotebookPanel;
      return {
        kind: 'notebook',
        widget: panel,
        path: localPath(panel.context.path)
      };
    }
    if (editors?.has(widget)) {
      const editor = widget as EditorWidget;
      return {
        kind: 'editor',
        widget: editor,
        path: localPath(editor.context.path)
      };
    }
    return null;
  }

  private onShell(): void {
    const widget = this.options.shell.currentWidget;
    if (this.known(widget)) {
      this.last = widget;
    }
    this.onCell();
  }

  /** A document opened before the shell had a current widget. */
  private onTracker(): void {
    this.onShell();
  }

  private onCell(): void {
    this.follow();
    this.changed.fire();
  }

  private watch(widget: NotebookPanel | EditorWidget): void {
    widget.context.pathChanged.connect(() => this.changed.fire());
    widget.disposed.connect(() => this.onCell());
    void widget.context.ready.then(() => this.onCell());
  }

  /**
   * Listens to the selection in the one editor that has the caret. By the cell's model:
   * the editor of a cell that was never on screen comes later than the cell.
   */
  private follow(): void {
    const document = this.current();
    const model =
      document?.kind === 'notebook'
        ? (document.widget.content.activeCell?.model ?? null)
        : (document?.widget.content.editor.model ?? null);
    if (model === this.followed) {
      return;
    }
    if (this.followed && !this.followed.isDisposed) {
      this.followed.selections.changed.disconnect(this.changed.fire);
    }
    this.followed = model;
    model?.selections.changed.connect(this.changed.fire);
  }

  private last: Widget | null = null;
  private followed: CodeEditor.IModel | null = null;
}
