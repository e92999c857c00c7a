/**
 * The extension: a list of plugins, one module each. A plugin that fails to
 * start leaves the others running.
 */
import type { JupyterFrontEndPlugin } from '@jupyterlab/application';

import { panelPlugin } from './plugins/panel';

const plugins: JupyterFrontEndPlugin<unknown>[] = [panelPlugin];

export default plugins;
