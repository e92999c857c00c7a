/**
 * The widget that lives while an answer streams (kernel side: card.py). The
 * model gathers the text, so that a second view of the notebook has it all; it
 * triggers `answer` when there is more, and when the kernel has ended it.
 */
import type { Kernel } from '@jupyterlab/services';
import { DOMWidgetModel } from '@jupyter-widgets/base';

import { answerToBundle, bundleToAnswer } from './answer';
import type { IAnswer, MimeBundle } from './answer';

type Message =
  { type: 'text'; delta: string } | { type: 'reasoning'; delta: string };

export class AnswerModel extends DOMWidgetModel {
  static model_name = 'AnswerModel';
  static view_name = 'AnswerView';

  defaults(): Record<string, unknown> {
    return {
      ...super.defaults(),
      _model_name: 'AnswerModel',
      _model_module: '@cellar/lab',
      _view_name: 'AnswerView',
      _view_module: '@cellar/lab',
      answer_id: '',
      cell_id: '',
      model: '',
      format: 'markdown',
      status: '',
      final: null
    };
  }

  initialize(
    attributes: Parameters<DOMWidgetModel['initialize']>[0],
    options: Parameters<DOMWidgetModel['initialize']>[1]
  ): void {
    super.initialize(attributes, options);
    this.on('msg:custom', (message: Message) => this.take(message));
    this.on('change:status change:final comm_live_update', () =>
      this.trigger('answer')
    );
  }

  /**
   * The output that takes the place of this widget, in a page whose cell did not
   * see it replaced; null while the answer streams. A kernel that was restarted
   * says nothing more: then it is what has come.
   */
  get output(): MimeBundle | null {
    const final = this.get('final') as MimeBundle | null;
    if (final || this.comm_live) {
      return final;
    }
    return this.text ? answerToBundle(this.answer) : null;
  }

  get answer(): IAnswer {
    const final = this.get('final') as MimeBundle | null;
    return (final && bundleToAnswer(final)) ?? this.soFar;
  }

  private get soFar(): IAnswer {
    return {
      id: this.get('answer_id'),
      model: this.get('model'),
      format: this.get('format'),
      state: this.comm_live ? 'streaming' : 'interrupted',
      text: this.text,
      reasoning: this.thoughts,
      status: this.get('status'),
      notes: []
    };
  }

  /** Interrupt the kernel from the browser: a click sent to a busy kernel waits for the cell's end. */
  async interrupt(): Promise<void> {
    await this.kernel?.interrupt();
  }

  /** The kernel it lives in, where the widgets' manager tells. */
  protected get kernel(): Kernel.IKernelConnection | null {
    const manager: object = this.widget_manager;
    return 'kernel' in manager
      ? (manager.kernel as Kernel.IKernelConnection | null)
      : null;
  }

  private take(message: Message): void {
    if (message.type === 'text') {
      this.text += message.delta;
    } else if (message.type === 'reasoning') {
      this.thoughts += message.delta;
    } else {
      return;
    }
    this.trigger('answer');
  }

  // Backbone calls `initialize` before these are set; messages come later.
  private text = '';
  private thoughts = '';
}
