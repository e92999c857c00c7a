/**
 * A control that goes away by its own effect (Stop, Remove, Continue, Cancel)
 * would leave the focus on the page's body. It goes to its neighbour in the same
 * list, else into the composer.
 */
export function guardFocus(root: HTMLElement): () => void {
  let last: Element | null = null;
  let list: Element | null = null;
  const focused = ({ target }: FocusEvent): void => {
    last = target instanceof Element && root.contains(target) ? target : null;
    list = last?.closest('li')?.parentElement ?? null;
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
    const neighbour = list?.isConnected
      ? list.querySelector<HTMLElement>('li button')
      : null;
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
