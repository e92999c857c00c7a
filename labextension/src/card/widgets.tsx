/** The card's two places: the view of a running widget, and the renderer of a finished output. */
import { ReactWidget } from '@jupyterlab/apputils';
import type { INotebookTracker } from '@jupyterlab/notebook';
import type { IRenderMime } from '@jupyterlab/rendermime';
import type { TranslationBundle } from '@jupyterlab/translation';
import { DOMWidgetView } from '@jupyter-widgets/base';
import type { Message } from '@lumino/messaging';
import { createRoot } from 'react-dom/client';
import type { Root } from 'react-dom/client';

import type { IMarkdownKit } from '../components/markdown/view';
import { bundleToAnswer } from './answer';
import type { IAnswer, MimeBundle } from './answer';
import { Card } from './Card';
import { findHost, replaceOlder } from './host';
import { AnswerModel } from './model';

/** What a card needs of JupyterLab. */
export interface ICardContext {
  trans: TranslationBundle;
  kit: IMarkdownKit;
  tracker: INotebookTracker | null;
}

function cardAt(
  node: HTMLElement,
  answer: IAnswer,
  context: ICardContext,
  stop?: () => Promise<void>
): JSX.Element {
  const host = () => findHost(context.tracker, node);
  return (
    <Card
      answer={answer}
      trans={context.trans}
      kit={context.kit}
      host={host}
      hasHost={host() !== null}
      stop={stop}
    />
  );
}

/** Heights of cards by answer id: the finished card begins as tall as the widget was, so the page does not jump. */
const heights = new Map<string, number>();
const SETTLED = 500; // ms after which a finished card has its own height

/** Draws a finished answer from the mime bundle that a notebook keeps. */
export class AnswerRenderer
  extends ReactWidget
  implements IRenderMime.IRenderer
{
  constructor(private readonly context: ICardContext) {
    super();
    this.addClass('jp-Cellar-cardHost');
  }

  async renderModel(model: IRenderMime.IMimeModel): Promise<void> {
    this.answer = bundleToAnswer(model.data);
    const height = heights.get(this.answer?.id ?? '');
    if (this.answer && height) {
      heights.delete(this.answer.id);
      this.node.style.minHeight = `${height}px`;
      window.setTimeout(() => (this.node.style.minHeight = ''), SETTLED);
    }
    this.update();
    await this.renderPromise;
  }

  render(): JSX.Element | null {
    return this.answer && cardAt(this.node, this.answer, this.context);
  }

  protected onAfterAttach(message: Message): void {
    super.onAfterAttach(message);
    this.update(); // only now it is known whether a cell is around it
  }

  private answer: IAnswer | null = null;
}

/** The model for one JupyterLab: a page that did not see its cell begin finds the cell's old answer with it. */
export function makeAnswerModel(context: ICardContext): typeof AnswerModel {
  return class extends AnswerModel {
    initialize(...given: Parameters<AnswerModel['initialize']>): void {
      super.initialize(...given);
      this.on('change:final', () => this.takePlace());
      this.takePlace();
    }

    private takePlace(): void {
      const final = this.get('final') as MimeBundle | null;
      const kernel = this.kernel;
      if (final && kernel) {
        void replaceOlder(
          context.tracker,
          kernel.id,
          this.get('cell_id') as string,
          final
        );
      }
    }
  };
}

/** The view for one JupyterLab: ipywidgets makes it, so what it needs is bound here. */
export function makeAnswerView(context: ICardContext): typeof DOMWidgetView {
  return class AnswerView extends DOMWidgetView {
    declare model: AnswerModel;

    render(): void {
      super.render();
      this.el.classList.add('jp-Cellar-cardHost');
      this.root = createRoot(this.el);
      this.listenTo(this.model, 'answer', () => this.draw());
      this.draw();
      void this.displayed.then(() => this.draw());
      this.size.observe(this.el);
    }

    remove(): void {
      this.size.disconnect();
      this.root?.unmount();
      this.root = null;
      super.remove();
    }

    private draw(): void {
      const { model } = this;
      const stop = () => model.interrupt();
      this.root?.render(cardAt(this.el, model.answer, context, stop));
      const output = model.output;
      if (output) {
        // Not here: ipywidgets still has messages for the panel of this view.
        window.setTimeout(() => {
          const host = findHost(context.tracker, this.el);
          host?.keepOutput(model.model_id, output);
        });
      }
    }

    private root: Root | null = null;
    private readonly size = new ResizeObserver(([entry]) => {
      const { height } = entry.contentRect;
      if (height > 0) {
        heights.set(this.model.answer.id, height);
      }
    });
  };
}
