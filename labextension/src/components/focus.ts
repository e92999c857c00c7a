/**
 * A control that goes away by its own effect (Stop, Remove, Continue, Cancel)
 * would leave the focus on the page's body. In a list it goes to the same control
 * of the row that stands there now, else into the composer.
 */
export function guardFocus(root: HTMLElement): () => void {
  let last: Element | null = null;
  let place: IPlace | null = null;
  const focused = ({ target }: FocusEvent): void => {
    last = target instanceof Element && root.contains(target) ? target : null;
    place = last && placeOf(last);
  };
  const left = ({ target }: FocusEvent): void => {
    // A removed element is left, too: that shows when the removal is over.
    queueMicrotask(() => {
      if (target === last && last?.isConnected) {
        last = null;
      }
    });
  };
  const rescue = (): void => {
    if (
      last?.isConnected !== false ||
      document.activeElement !== document.body
    ) {
      return;
    }
    const neighbour = place && controlAt(place);
    const composer = root.querySelector<HTMLElement>(
      '.jp-Cellar-composer textarea'
    );
    (neighbour ?? composer)?.focus({ preventScroll: true });
  };
  const observer = new MutationObserver(() => {
    if (last?.isConnected === false) {
      // After those who know a better place.
      requestAnimationFrame(rescue);
    }
  });
  observer.observe(root, { childList: true, subtree: true });
  document.addEventListener('focusin', focused);
  root.addEventListener('focusout', left);
  return () => {
    observer.disconnect();
    document.removeEventListener('focusin', focused);
    root.removeEventListener('focusout', left);
  };
}

interface IPlace {
  list: Element;
  row: Element;
  /** of the row in its list, and of the control among the row's buttons */
  rowAt: number;
  buttonAt: number;
}

function placeOf(control: Element): IPlace | null {
  const row = control.closest('li');
  const list = row?.parentElement;
  return row && list
    ? {
        list,
        row,
        rowAt: [...list.children].indexOf(row),
        buttonAt: buttonsOf(row).findIndex(button => button === control)
      }
    : null;
}

function controlAt({ list, row, rowAt, buttonAt }: IPlace): HTMLElement | null {
  const rows = list.isConnected ? [...list.children] : [];
  const now = row.isConnected ? row : rows[Math.min(rowAt, rows.length - 1)];
  const buttons = now ? buttonsOf(now) : [];
  return buttons[buttonAt] ?? buttons[0] ?? null;
}

function buttonsOf(row: Element): HTMLElement[] {
  return [...row.querySelectorAll('button')];
}
