/**
 * Drag and drop into the chat. JupyterLab drags cells and files with Lumino's own
 * events (`lm-…`), the desktop drags files with the browser's: one target for both.
 */
import type { Drag } from '@lumino/dragdrop';

import type { IContextItem, IDragData } from '../chat/tokens';

export const CELLS_MIME = 'application/vnd.jupyter.cells';
/** the live cell widgets of the same drag */
export const LIVE_CELLS_MIME = 'internal:cells';
export const PATHS_MIME = 'application/x-jupyter-icontents';
/** `{model}` of the last path of the drag */
export const RICH_PATH_MIME = 'application/x-jupyter-icontentsrich';

export interface IDropTarget {
  /** what the drag holds, read by the context sources (`IContextSource.dropped`) */
  read(data: IDragData): Promise<IContextItem[]>;
  onItems(items: IContextItem[]): void;
  /** files of the desktop: pictures to attach, others to upload */
  onFiles(files: File[]): void;
  /** something that may be dropped is over the target (true), or left it */
  onHover(over: boolean): void;
}

export function carriesContext(data: IDragData): boolean {
  return data.hasData(CELLS_MIME) || data.hasData(PATHS_MIME);
}

/** Makes the node a drop target; call the answer to undo it. */
export function acceptDrops(
  node: HTMLElement,
  target: IDropTarget
): () => void {
  const stops = [...lumino(node, target), ...desktop(node, target)];
  return () => stops.forEach(stop => stop());
}

type Stop = () => void;

function listen(
  node: HTMLElement,
  type: string,
  listener: (event: Event) => void
): Stop {
  node.addEventListener(type, listener);
  return () => node.removeEventListener(type, listener);
}

function lumino(node: HTMLElement, target: IDropTarget): Stop[] {
  const take = (event: Event): Drag.Event | null => {
    const drag = event as Drag.Event;
    if (!carriesContext(drag.mimeData)) {
      return null;
    }
    event.preventDefault();
    event.stopPropagation();
    // Only an action the drag proposes is accepted; the source stays as it is.
    drag.dropAction = drag.proposedAction;
    return drag;
  };
  return [
    listen(node, 'lm-dragenter', event => {
      if (take(event)) {
        target.onHover(true);
      }
    }),
    listen(node, 'lm-dragover', event => {
      take(event);
    }),
    listen(node, 'lm-dragleave', event => {
      const to = (event as Drag.Event).relatedTarget as Node | null;
      if (take(event) && !node.contains(to)) {
        target.onHover(false);
      }
    }),
    listen(node, 'lm-drop', event => {
      const drag = take(event);
      if (drag) {
        target.onHover(false);
        void target.read(drag.mimeData).then(items => target.onItems(items));
      }
    })
  ];
}

function desktop(node: HTMLElement, target: IDropTarget): Stop[] {
  const take = (event: Event): DataTransfer | null => {
    const transfer = (event as DragEvent).dataTransfer;
    if (!transfer || !Array.from(transfer.types).includes('Files')) {
      return null;
    }
    event.preventDefault();
    event.stopPropagation();
    transfer.dropEffect = 'copy';
    return transfer;
  };
  return [
    listen(node, 'dragenter', event => {
      if (take(event)) {
        target.onHover(true);
      }
    }),
    listen(node, 'dragover', event => {
      take(event);
    }),
    listen(node, 'dragleave', event => {
      const to = (event as DragEvent).relatedTarget as Node | null;
      if (take(event) && !node.contains(to)) {
        target.onHover(false);
      }
    }),
    listen(node, 'drop', event => {
      const transfer = take(event);
      if (transfer) {
        target.onHover(false);
        target.onFiles(Array.from(transfer.files));
      }
    })
  ];
}
