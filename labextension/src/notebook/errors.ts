/**
 * Explain and Fix beside an error output.
 *
 * Design note: the buttons are part of how the mime type `application/vnd.jupyter.error`
 * is rendered, not something hung into the page afterwards. So they come and go with the
 * output itself: re-rendering, clearing, undo, virtual scrolling and trust need no watching.
 * JupyterLab has no renderer for that type: it shows an error by its stderr form, and the
 * traceback here is still drawn by that one.
 */
import type { NotebookPanel } from '@jupyterlab/notebook';
import type { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import type { IRenderMime } from '@jupyterlab/rendermime-interfaces';
import type { TranslationBundle } from '@jupyterlab/translation';
import type { Message } from '@lumino/messaging';
import { Panel, Widget } from '@lumino/widgets';

import type { CellQuestion } from './actions';

const ERROR_MIME = 'application/vnd.jupyter.error';
const STDERR_MIME = 'application/vnd.jupyter.stderr';
/** Before the stderr form (110). */
const RANK = 105;
/** The magics' own sentences ("Stopped.", "The model is loading."): no code to explain or fix. */
const MAGIC_ERROR = 'AiHalt';

const QUESTIONS = ['fix', 'explain'] as const satisfies readonly CellQuestion[];

export interface IErrorButtonsOptions {
  rendermime: IRenderMimeRegistry;
  trans: TranslationBundle;
  /** the notebook and the cell this node is in; null: a console, an output view */
  find(node: HTMLElement): { panel: NotebookPanel; cellId: string } | null;
  ask(question: CellQuestion, panel: NotebookPanel, cellId: string): void;
}

export function addErrorButtons(options: IErrorButtonsOptions): void {
  const traceback = options.rendermime.getFactory(STDERR_MIME);
  if (!traceback) {
    return;
  }
  options.rendermime.addFactory(
    {
      safe: true,
      mimeTypes: [ERROR_MIME],
      createRenderer: rendering =>
        new ErrorOutput(
          traceback.createRenderer({ ...rendering, mimeType: STDERR_MIME }),
          options
        )
    },
    RANK
  );
}

/** A traceback and, in a notebook's cell, the buttons under it. */
export class ErrorOutput extends Panel implements IRenderMime.IRenderer {
  constructor(
    private readonly traceback: IRenderMime.IRenderer,
    private readonly options: IErrorButtonsOptions
  ) {
    super();
    this.addClass('jp-Cellar-errorOutput');
    this.addWidget(traceback);
  }

  renderModel(model: IRenderMime.IMimeModel): Promise<void> {
    const error = model.data[ERROR_MIME] as { ename?: unknown } | undefined;
    this.hasButtons = error?.ename !== MAGIC_ERROR;
    return this.traceback.renderModel(model);
  }

  protected onAfterAttach(message: Message): void {
    super.onAfterAttach(message);
    const inCell = this.node.closest('.jp-Notebook .jp-CodeCell') !== null;
    if (inCell && this.hasButtons && !this.bar) {
      this.bar = new Widget({ node: this.toolbar() });
      this.addWidget(this.bar);
    }
  }

  private toolbar(): HTMLElement {
    const { trans } = this.options;
    const bar = document.createElement('div');
    bar.className = 'jp-Cellar-errorActions';
    bar.setAttribute('role', 'toolbar');
    bar.setAttribute('aria-label', trans.__('Ask Cellar about this error'));
    const labels = { fix: trans.__('Fix'), explain: trans.__('Explain') };
    const titles = {
      fix: trans.__('Ask Cellar to fix this error'),
      explain: trans.__('Ask Cellar to explain this error')
    };
    for (const question of QUESTIONS) {
      const button = document.createElement('button');
      button.type = 'button';
      button.className = `jp-Cellar-button jp-Cellar-${question}Error`;
      button.title = titles[question];
      button.textContent = labels[question];
      button.addEventListener('click', () => this.ask(question));
      // Keys on a button are the button's: Enter here does not edit the cell.
      button.addEventListener('keydown', event => {
        if (event.key === 'Enter' || event.key === ' ') {
          event.stopPropagation();
        }
      });
      bar.append(button);
    }
    return bar;
  }

  private ask(question: CellQuestion): void {
    const place = this.options.find(this.node);
    if (place) {
      this.options.ask(question, place.panel, place.cellId);
    }
  }

  private bar: Widget | null = null;
  private hasButtons = true;
}
