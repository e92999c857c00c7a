/** Explain and Fix under the error outputs of notebooks. */
import type {
  JupyterFrontEnd,
  JupyterFrontEndPlugin
} from '@jupyterlab/application';
import { INotebookTracker, type NotebookPanel } from '@jupyterlab/notebook';
import { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';

import { addErrorButtons } from '../notebook/errors';
import { INotebookRoom } from '../notebook/tokens';

export const errorsPlugin: JupyterFrontEndPlugin<void> = {
  id: '@cellar/lab:errors',
  description: 'Explain and Fix buttons under error outputs.',
  autoStart: true,
  requires: [INotebookRoom, INotebookTracker, IRenderMimeRegistry],
  optional: [ITranslator],
  activate: (
    app: JupyterFrontEnd,
    room: INotebookRoom,
    notebooks: INotebookTracker,
    rendermime: IRenderMimeRegistry,
    translator: ITranslator | null
  ) => {
    addErrorButtons({
      rendermime,
      trans: (translator ?? nullTranslator).load('cellar'),
      find: node => place(notebooks, node),
      ask: (question, panel, cellId) => {
        void room.actions.askAboutError(question, panel, cellId);
      }
    });
  }
};

function place(
  notebooks: INotebookTracker,
  node: HTMLElement
): { panel: NotebookPanel; cellId: string } | null {
  const panel = notebooks.find(one => one.content.node.contains(node));
  const cell = panel?.content.widgets.find(one => one.node.contains(node));
  return panel && cell ? { panel, cellId: cell.model.id } : null;
}
