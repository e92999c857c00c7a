/** The card's two places: the view of a running widget, and the renderer of a finished output. */
import { ReactWidget } from '@jupyterlab/apputils';
import type { INotebookTracker } from '@jupyterlab/notebook';
import type { IRenderMime } from '@jupyterlab/rendermime';
import type { TranslationBundle } from '@jupyterlab/translation';
import { DOMWidgetView } from '@jupyter-widgets/base';
import type { Message } from '@lumino/messaging';
import { Widget } from '@lumino/widgets';

import type { IMarkdownKit } from '../components/markdown/view';
import { bundleToAnswer } from './answer';
import type { IAnswer } from './answer';
import { Card } from './Card';
import { findHost } from './host';
import type { AnswerModel } from './model';

/** What a card needs of JupyterLab. */
export interface ICardContext {
  trans: TranslationBundle;
  kit: IMarkdownKit;
  tracker: INotebookTracker | null;
}

/** A card as a Lumino widget; `show` draws an answer. */
export class CardWidget extends ReactWidget {
  constructor(
    private readonly context: ICardContext,
    private readonly stop?: () => Promise<void>
  ) {
    super();
    this.addClass('jp-Cellar-cardHost');
  }

  display(answer: IAnswer): void {
    this.answer = answer;
    this.update();
  }

  protected onAfterAttach(message: Message): void {
    super.onAfterAttach(message);
    this.update(); // only now it is known whether a cell is around it
  }

  render(): JSX.Element | null {
    if (!this.answer) {
      return null;
    }
    const { trans, kit, tracker } = this.context;
    const host = () => findHost(tracker, this.node);
    return (
      <Card
        answer={this.answer}
        trans={trans}
        kit={kit}
        host={host}
        hasHost={host() !== null}
        stop={this.stop}
      />
    );
  }

  private answer: IAnswer | null = null;
}

/** Heights of cards by answer id, so that the output does not jump when the finished card takes the place of the widget. */
const heights = new Map<string, number>();

/** Draws a finished answer from the mime bundle that a notebook keeps. */
export class AnswerRenderer extends CardWidget implements IRenderMime.IRenderer {
  async renderModel(model: IRenderMime.IMimeModel): Promise<void> {
    const answer = bundleToAnswer(model.data);
    if (!answer) {
      return;
    }
    const height = heights.get(answer.id);
    if (height !== undefined) {
      heights.delete(answer.id);
      this.node.style.minHeight = `${height}px`;
      window.setTimeout(() => {
        this.node.style.minHeight = '';
      }, 500);
    }
    this.display(answer);
    await this.renderPromise;
  }
}

/** The views for one JupyterLab: ipywidgets makes them itself, so what they need is bound here. */
export function makeAnswerView(context: ICardContext): typeof DOMWidgetView {
  return class AnswerView extends DOMWidgetView {
    declare model: AnswerModel;

    render(): void {
      super.render();
      const model = this.model;
      const card = new CardWidget(context, () => model.interrupt());
      this.card = card;
      card.display(model.answer);
      this.listenTo(model, 'answer', () => card.display(model.answer));
      void this.displayed.then(() => {
        if (!card.isDisposed && this.el.isConnected) {
          Widget.attach(card, this.el);
        }
      });
    }

    remove(): void {
      const { card } = this;
      if (card && !card.isDisposed) {
        heights.set(this.model.answer.id, card.node.offsetHeight);
        card.dispose();
      }
      super.remove();
    }

    private card: CardWidget | null = null;
  };
}
