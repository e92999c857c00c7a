/**
 * The extension: a list of plugins, one module each. A plugin that fails to
 * start leaves the others running.
 */
import type { JupyterFrontEndPlugin } from '@jupyterlab/application';

import { cardPlugin } from './plugins/card';
import { commandsPlugin } from './plugins/commands';
import { errorsPlugin } from './plugins/errors';
import { notebookPlugin } from './plugins/notebook';
import { panelPlugin } from './plugins/panel';

const plugins: JupyterFrontEndPlugin<unknown>[] = [
  panelPlugin,
  cardPlugin,
  notebookPlugin,
  errorsPlugin,
  commandsPlugin
];

export default plugins;
