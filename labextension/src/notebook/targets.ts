/**
 * Where the code of an answer goes: the notebook or editor used last. Every action
 * is one edit of the live model, so that one undo takes it back, and the document
 * is shown and gets the focus, so that this undo is one key away.
 */
import type { JupyterFrontEnd } from '@jupyterlab/application';
import type { Cell } from '@jupyterlab/cells';
import type { CodeEditor } from '@jupyterlab/codeeditor';
import { PathExt } from '@jupyterlab/coreutils';
import type { IDocumentManager } from '@jupyterlab/docmanager';
import { NotebookActions, type NotebookPanel } from '@jupyterlab/notebook';
import type { TranslationBundle } from '@jupyterlab/translation';

import { canRun, toCell } from '../chat/codecell';
import type { ICodeTarget, ICodeTargets } from '../chat/tokens';
import { kernelLanguage, selected } from './collect';
import type { Documents, EditorWidget, OpenDocument } from './documents';
import { extensionOf } from './filetypes';
import { Replacement, type ICodeBlock } from './replacement';

export interface ITargetsOptions {
  documents: Documents;
  shell: JupyterFrontEnd.IShell;
  documentManager: IDocumentManager;
  trans: TranslationBundle;
  /** the folder shown, when no document is open */
  folder(): string;
  /** a file could not be made or a cell not be run */
  onError(error: unknown): void;
}

export class CodeTargets implements ICodeTargets {
  constructor(private readonly options: ITargetsOptions) {
    this.replacement = new Replacement({
      documents: options.documents,
      trans: options.trans,
      write: (panel, cell, block, all) => this.write(panel, cell, block, all),
      insertBelow: (panel, { code, language }) =>
        this.insertCell(panel, 1, code, language)
    });
  }

  current(): ICodeTarget {
    const document = this.options.documents.current();
    const target: ICodeTarget = {
      newFile: (code, language) => {
        void this.newFile(code, language).catch(this.options.onError);
      }
    };
    if (!document || document.widget.context.model.readOnly) {
      return target;
    }
    return {
      ...target,
      ...(document.kind === 'notebook'
        ? this.notebookTarget(document.widget)
        : this.editorTarget(document.widget, document))
    };
  }

  onChanged(listener: () => void): () => void {
    return this.options.documents.changed.add(listener);
  }

  private notebookTarget(panel: NotebookPanel): ICodeTarget {
    const target: ICodeTarget = {
      runs: language => canRun(language, kernelLanguage(panel)),
      insertAbove: (code, language) =>
        this.insertCell(panel, 0, code, language),
      insertBelow: (code, language) =>
        this.insertCell(panel, 1, code, language),
      newCellAndRun: (code, language) => {
        this.insertCell(panel, 1, code, language);
        void this.run(panel).catch(this.options.onError);
      }
    };
    const cell = panel.content.activeCell;
    if (cell && cell.model.getMetadata('editable') !== false) {
      target.replace = (code, language, subject) => {
        void this.replacement
          .replace(panel, { code, language }, subject)
          .catch(this.options.onError);
      };
    }
    return target;
  }

  private editorTarget(
    widget: EditorWidget,
    document: OpenDocument
  ): ICodeTarget {
    const { editor } = widget.content;
    const target: ICodeTarget = {
      insertAbove: code => this.insertLines(widget, 'above', code),
      insertBelow: code => this.insertLines(widget, 'below', code)
    };
    if (selected(editor)) {
      target.replace = code => {
        const what = selected(editor);
        if (what) {
          edit(editor, what.start, what.end, code);
          this.show(document.widget);
        }
      };
    }
    return target;
  }

  /** `offset` 0: above the active cell, 1: below. An empty notebook gets its first. */
  private insertCell(
    panel: NotebookPanel,
    offset: 0 | 1,
    code: string,
    language: string
  ): void {
    const { content } = panel;
    const shared = content.model?.sharedModel;
    if (!shared) {
      return;
    }
    const index = content.activeCell ? content.activeCellIndex + offset : 0;
    const { source, kind } = toCell(code, language, kernelLanguage(panel));
    shared.insertCell(
      index,
      kind === 'code'
        ? { cell_type: kind, metadata: { trusted: true }, source }
        : { cell_type: kind, metadata: {}, source }
    );
    content.activeCellIndex = index;
    content.deselectAll();
    content.mode = 'command';
    void content.scrollToItem(index, 'smart');
    this.show(panel);
  }

  /** A kernel that is still starting would drop the cell silently: wait for it. */
  private async run(panel: NotebookPanel): Promise<void> {
    const cell = panel.content.activeCell;
    await panel.sessionContext.ready;
    if (cell && !cell.isDisposed) {
      await NotebookActions.runCells(
        panel.content,
        [cell],
        panel.sessionContext
      );
    }
  }

  private write(
    panel: NotebookPanel,
    cell: Cell,
    block: ICodeBlock,
    all: boolean
  ): void {
    const { content } = panel;
    const what = !all && cell.editor ? selected(cell.editor) : null;
    const code =
      what || cell.model.type !== 'code'
        ? block.code
        : toCell(block.code, block.language, kernelLanguage(panel)).source;
    if (cell.editor) {
      const length = cell.model.sharedModel.getSource().length;
      edit(cell.editor, what?.start ?? 0, what?.end ?? length, code);
    } else {
      // A cell that was never on screen has no editor yet.
      ownStep(cell.model.sharedModel, () =>
        cell.model.sharedModel.setSource(code)
      );
    }
    void content.scrollToItem(content.activeCellIndex, 'smart');
    this.show(panel);
    content.mode = 'edit';
  }

  /** Whole lines before or after those of the caret or the selection. */
  private insertLines(
    widget: EditorWidget,
    where: 'above' | 'below',
    code: string
  ): void {
    const { editor } = widget.content;
    const range = editor.getSelection();
    const lines = [range.start.line, range.end.line];
    const block = code.replace(/\n*$/, '\n');
    if (where === 'above') {
      const at = editor.getOffsetAt({ line: Math.min(...lines), column: 0 });
      edit(editor, at, at, block);
    } else {
      const line = Math.max(...lines);
      const column = editor.getLine(line)?.length ?? 0;
      const at = editor.getOffsetAt({ line, column });
      edit(editor, at, at, `\n${block.slice(0, -1)}`);
    }
    this.show(widget);
  }

  private async newFile(code: string, language: string): Promise<void> {
    const { documentManager, documents } = this.options;
    const open = documents.current();
    const path = open
      ? PathExt.dirname(open.widget.context.path)
      : this.options.folder();
    const file = await documentManager.newUntitled({
      path,
      type: 'file',
      ext: extensionOf(language)
    });
    await documentManager.services.contents.save(file.path, {
      type: 'file',
      format: 'text',
      content: code.replace(/\n*$/, '\n')
    });
    documentManager.openOrReveal(file.path, 'Editor');
  }

  private show(widget: NotebookPanel | EditorWidget): void {
    this.options.shell.activateById(widget.id);
    widget.content.activate();
  }

  private readonly replacement: Replacement;
}

/** Replace characters as one undo step, leave the new text selected and in view. */
function edit(
  editor: CodeEditor.IEditor,
  start: number,
  end: number,
  code: string
): void {
  const shared = editor.model.sharedModel;
  ownStep(shared, () => shared.updateSource(start, end, code));
  const to = editor.getPositionAt(start + code.length);
  if (to) {
    editor.setSelection({ start: to, end: to });
    editor.revealPosition(to);
  }
  editor.focus();
}

/** Shared models merge edits that come close together; this one stays alone. */
function ownStep(shared: object, change: () => void): void {
  const { undoManager } = shared as {
    undoManager?: { stopCapturing(): void } | null;
  };
  undoManager?.stopCapturing();
  change();
  undoManager?.stopCapturing();
}
