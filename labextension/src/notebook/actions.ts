/** What buttons, menus and shortcuts do: put the right thing into the chat. */
import type { NotebookPanel } from '@jupyterlab/notebook';

import type { AskingCommand } from '../chat/commands';
import type { IChat, IContextItem } from '../chat/tokens';
import type { Documents, OpenDocument } from './documents';
import type { Items } from './items';

/** The questions one can ask about a cell with one click, in the menus' order. */
export const CELL_QUESTIONS = [
  'explain',
  'fix',
  'document',
  'test',
  'optimize'
] as const satisfies readonly AskingCommand[];

export type CellQuestion = (typeof CELL_QUESTIONS)[number];

export class Actions {
  constructor(
    private readonly chat: IChat,
    private readonly documents: Documents,
    private readonly items: Items
  ) {}

  /** Ask now about what is selected in the current document. */
  askAbout(question: CellQuestion): Promise<void> {
    const document = this.documents.current();
    const item = document && this.subject(document, question);
    return item ? this.ask(question, [item]) : Promise.resolve();
  }

  /** Ask about one cell's error; about the cell when the error is gone. */
  askAboutError(
    question: CellQuestion,
    panel: NotebookPanel,
    cellId: string
  ): Promise<void> {
    const path = this.pathOf(panel);
    const item =
      this.items.error(panel, path, cellId) ??
      this.items.cells(panel, path, [cellId]);
    return this.ask(question, [item]);
  }

  /** The subject becomes a pill, the cursor goes into the composer. */
  addToChat(): void {
    const document = this.documents.current();
    const item = document && this.subject(document, null);
    if (item) {
      this.chat.addContext([item]);
    }
    this.chat.open();
  }

  add(items: IContextItem[]): void {
    this.chat.addContext(items);
    this.chat.open();
  }

  /** Whether there is anything to ask about. */
  get possible(): boolean {
    return this.documents.current() !== null;
  }

  /**
   * What one means: the selected text; else, to fix, the active cell's error; else
   * the selected cells; else the file.
   */
  private subject(
    document: OpenDocument,
    question: CellQuestion | null
  ): IContextItem | null {
    const { items } = this;
    const selection = items.heldSelection(document);
    if (selection) {
      return selection;
    }
    if (document.kind === 'editor') {
      return items.document(document);
    }
    const { widget: panel, path } = document;
    const ids = selectedCellIds(panel);
    if (ids.length === 0) {
      return null;
    }
    const error =
      question === 'fix' && ids.length === 1
        ? items.error(panel, path, ids[0])
        : null;
    return error ?? items.cells(panel, path, ids);
  }

  private ask(question: CellQuestion, context: IContextItem[]): Promise<void> {
    return this.chat.ask({ text: `/${question}`, context, send: true });
  }

  private pathOf(panel: NotebookPanel): string {
    return (
      this.documents.all().find(document => document.widget === panel)?.path ??
      panel.context.path
    );
  }
}

function selectedCellIds(panel: NotebookPanel): string[] {
  const { content } = panel;
  return content.widgets
    .filter(cell => content.isSelectedOrActive(cell))
    .map(cell => cell.model.id);
}
