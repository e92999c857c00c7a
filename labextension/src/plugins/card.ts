/** The magics' card: a widget while an answer streams, a renderer of the output that stays. */
import type {
  JupyterFrontEnd,
  JupyterFrontEndPlugin
} from '@jupyterlab/application';
import { INotebookTracker } from '@jupyterlab/notebook';
import { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';
import type { TranslationBundle } from '@jupyterlab/translation';
import { IJupyterWidgetRegistry } from '@jupyter-widgets/base';

import { ANSWER_MIME } from '../card/answer';
import {
  AnswerRenderer,
  makeAnswerModel,
  makeAnswerView
} from '../card/widgets';
import type { ICardContext } from '../card/widgets';
import { safeSanitizer } from '../components/markdown/safe';
import type { IMarkdownKit } from '../components/markdown/view';

/** Preferred to Markdown (60) and plain text (120), which stand beside it. */
const RANK = -20;

export const cardPlugin: JupyterFrontEndPlugin<void> = {
  id: '@cellar/lab:card',
  description: 'Draws the answers of the %ai magics.',
  autoStart: true,
  requires: [IRenderMimeRegistry],
  optional: [INotebookTracker, IJupyterWidgetRegistry, ITranslator],
  activate: (
    app: JupyterFrontEnd,
    rendermime: IRenderMimeRegistry,
    tracker: INotebookTracker | null,
    widgets: IJupyterWidgetRegistry | null,
    translator: ITranslator | null
  ) => {
    const trans = (translator ?? nullTranslator).load('cellar');
    const context: ICardContext = {
      trans,
      tracker,
      kit: makeKit(rendermime, trans)
    };
    rendermime.addFactory(
      {
        safe: true, // draws sanitized Markdown and buttons that wait for a click
        mimeTypes: [ANSWER_MIME],
        createRenderer: () => new AnswerRenderer(context)
      },
      RANK
    );
    widgets?.registerWidget({
      name: '@cellar/lab',
      version: '0.1.0',
      exports: {
        AnswerModel: makeAnswerModel(context),
        AnswerView: makeAnswerView(context)
      }
    });
  }
};

/** The panel's Markdown, with words for the card. */
function makeKit(
  rendermime: IRenderMimeRegistry,
  trans: TranslationBundle
): IMarkdownKit {
  return {
    sanitizer: safeSanitizer(rendermime.sanitizer, {
      picture: address => trans.__('Picture not loaded: %1', address)
    }),
    parser: rendermime.markdownParser,
    typesetter: rendermime.latexTypesetter,
    words: {
      copy: trans.__('Copy'),
      copied: trans.__('Copied'),
      insertAbove: trans.__('Insert above'),
      insertBelow: trans.__('Insert below'),
      replace: trans.__('Replace cell'),
      newCellAndRun: trans.__('New cell and run'),
      newFile: trans.__('New file'),
      code: trans.__('code'),
      definesCommands: trans.__(
        'Not drawn as a formula: it would change the formulas of notebooks and other answers'
      )
    }
  };
}
