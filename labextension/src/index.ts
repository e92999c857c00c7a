/**
 * The extension: a list of plugins, one module each. A plugin that fails to
 * start leaves the others running.
 */
import type { JupyterFrontEndPlugin } from '@jupyterlab/application';

import { cardPlugin } from './plugins/card';
import { panelPlugin } from './plugins/panel';

const plugins: JupyterFrontEndPlugin<unknown>[] = [panelPlugin, cardPlugin];

export default plugins;
