import * as React from 'react';

import type { ComposerModel } from '../../chat/composer';
import { acceptDrops } from '../../notebook/drop';

/** The whole panel takes drops; true while something that fits is over it. */
export function useDrop(
  root: React.RefObject<HTMLElement>,
  model: ComposerModel,
  attach: (files: readonly File[]) => void
): boolean {
  const [over, setOver] = React.useState(false);
  React.useEffect(() => {
    const node =
      root.current?.closest<HTMLElement>('.jp-Cellar-panel') ?? root.current;
    if (!node) {
      return;
    }
    return acceptDrops(node, {
      read: data => model.sources.dropped(data),
      onItems: items => {
        model.add(items);
        model.focus();
      },
      onFiles: files => attach(files),
      onHover: setOver
    });
  }, [root, model, attach]);
  return over;
}
