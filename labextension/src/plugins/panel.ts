/** The chat panel in the right area, its command and the IChat token. */
import type {
  JupyterFrontEnd,
  JupyterFrontEndPlugin
} from '@jupyterlab/application';
import { Widget } from '@lumino/widgets';

export const panelPlugin: JupyterFrontEndPlugin<void> = {
  id: '@cellar/lab:panel',
  description: 'The Cellar chat panel.',
  autoStart: true,
  activate: (app: JupyterFrontEnd) => {
    const panel = new Widget();
    panel.id = 'cellar-panel';
    panel.addClass('jp-Cellar-panel');
    panel.title.caption = 'Cellar';
    app.shell.add(panel, 'right', { rank: 100 });
  }
};
