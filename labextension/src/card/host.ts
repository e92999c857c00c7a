/**
 * The notebook cell whose output holds a card: what Insert below and Replace
 * cell act on. A card in a console or a detached output has none.
 */
import { CodeCell, isCodeCellModel } from '@jupyterlab/cells';
import type { IDisplayData } from '@jupyterlab/nbformat';
import type { INotebookTracker, NotebookPanel } from '@jupyterlab/notebook';
import { NotebookActions } from '@jupyterlab/notebook';

import { ANSWER_MIME, isYounger, type MimeBundle } from './answer';

const WIDGET_MIME = 'application/vnd.jupyter.widget-view+json';

export interface ICardHost {
  insertBelow(source: string, kind: 'code' | 'markdown'): void;
  replace(source: string): void;
  /** Put `data` in the place of the output that shows this widget. */
  keepOutput(widgetId: string, data: MimeBundle): void;
}

/** The host of this moment; cells move, so it is looked up for every click. */
export function findHost(
  tracker: INotebookTracker | null,
  node: HTMLElement
): ICardHost | null {
  const panel = tracker?.find(each => each.content.node.contains(node));
  const index = panel ? cellIndex(panel, node) : -1;
  if (!panel || index < 0) {
    return null;
  }
  const notebook = panel.content;
  return {
    insertBelow: (source, kind) => {
      notebook.activeCellIndex = index;
      notebook.deselectAll();
      NotebookActions.insertBelow(notebook);
      if (kind === 'markdown') {
        NotebookActions.changeCellType(notebook, 'markdown');
      }
      notebook.activeCell?.model.sharedModel.setSource(source);
      notebook.activeCell?.node.scrollIntoView({ block: 'nearest' });
    },
    replace: source => {
      notebook.activeCellIndex = index;
      notebook.widgets[index].model.sharedModel.setSource(source);
    },
    keepOutput: (widgetId, data) => {
      const cell = notebook.widgets[index];
      const outputs = cell instanceof CodeCell ? cell.outputArea.model : null;
      for (let i = 0; i < (outputs?.length ?? 0); i++) {
        const view = outputs?.get(i).data[WIDGET_MIME];
        if (
          (view as { model_id?: string } | undefined)?.model_id === widgetId
        ) {
          const output = { output_type: 'display_data', data, metadata: {} };
          outputs?.set(i, output as IDisplayData);
        }
      }
    }
  };
}

/**
 * A cell that was asked again, and whose page was loaded anew before the notebook
 * was saved, shows the answer before: the younger one takes its place. Where there is
 * none, nothing is put: the user may have cleared it.
 */
export async function replaceOlder(
  tracker: INotebookTracker | null,
  kernelId: string,
  cellId: string,
  data: MimeBundle
): Promise<void> {
  const panel = tracker?.find(
    each => each.sessionContext.session?.kernel?.id === kernelId
  );
  await panel?.context.ready;
  for (const cell of panel?.content.model?.cells ?? []) {
    if (cell.id === cellId && isCodeCellModel(cell)) {
      const { outputs } = cell;
      for (let i = 0; i < outputs.length; i++) {
        if (isYounger(data[ANSWER_MIME], outputs.get(i).data[ANSWER_MIME])) {
          const output = { output_type: 'display_data', data, metadata: {} };
          outputs.set(i, output as IDisplayData);
        }
      }
    }
  }
}

function cellIndex(panel: NotebookPanel, node: HTMLElement): number {
  return panel.content.widgets.findIndex(cell => cell.node.contains(node));
}
