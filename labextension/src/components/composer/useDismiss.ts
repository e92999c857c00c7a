import * as React from 'react';

/** Close a popover by Escape or by a press outside of the element. */
export function useDismiss(
  element: React.RefObject<HTMLElement | null>,
  open: boolean,
  close: () => void
): void {
  React.useEffect(() => {
    if (!open) {
      return;
    }
    const pressed = (event: PointerEvent): void => {
      if (!element.current?.contains(event.target as Node)) {
        close();
      }
    };
    const typed = (event: KeyboardEvent): void => {
      if (event.key === 'Escape') {
        event.stopPropagation();
        event.preventDefault();
        close();
      }
    };
    const inside = element.current;
    document.addEventListener('pointerdown', pressed, true);
    inside?.addEventListener('keydown', typed);
    return () => {
      document.removeEventListener('pointerdown', pressed, true);
      inside?.removeEventListener('keydown', typed);
    };
  }, [element, open, close]);
}
