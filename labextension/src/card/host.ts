/**
 * The notebook cell whose output holds a card: what Insert below and Replace
 * cell act on. A card in a console or a detached output has none.
 */
import type { INotebookTracker, NotebookPanel } from '@jupyterlab/notebook';
import { NotebookActions } from '@jupyterlab/notebook';

export interface ICardHost {
  insertBelow(source: string, kind: 'code' | 'markdown'): void;
  replace(source: string): void;
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
    }
  };
}

function cellIndex(panel: NotebookPanel, node: HTMLElement): number {
  return panel.content.widgets.findIndex(cell => cell.node.contains(node));
}
