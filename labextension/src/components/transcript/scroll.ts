/**
 * Keeps the end in view only while the reader is at the end. Any upward gesture
 * lets go at once, also one of a pixel; only scrolling down to the end pins again.
 */

/** Pixels from the end that still count as the end. */
const NEAR = 6;

export class ScrollKeeper {
  constructor(
    private readonly scroller: HTMLElement,
    content: HTMLElement,
    private readonly onChange: (atEnd: boolean) => void
  ) {
    const { signal } = this.abort;
    const passive = { passive: true, signal };
    scroller.addEventListener('scroll', () => this.scrolled(), passive);
    scroller.addEventListener(
      'wheel',
      event => {
        if (event.deltaY < 0) {
          this.letGo();
        }
      },
      passive
    );
    scroller.addEventListener(
      'touchstart',
      event => (this.touch = event.touches[0]?.clientY ?? 0),
      passive
    );
    scroller.addEventListener(
      'touchmove',
      event => {
        if ((event.touches[0]?.clientY ?? 0) > this.touch) {
          this.letGo();
        }
      },
      passive
    );
    scroller.addEventListener(
      'keydown',
      event => {
        if (['ArrowUp', 'PageUp', 'Home'].includes(event.key)) {
          this.letGo();
        }
        this.toTop = event.key === 'Home' && event.target === scroller;
      },
      { signal }
    );
    for (const moves of ['wheel', 'touchstart', 'pointerdown']) {
      scroller.addEventListener(moves, () => (this.toTop = false), passive);
    }
    this.observer = new ResizeObserver(() => this.keep());
    this.observer.observe(content);
    this.observer.observe(scroller);
  }

  /** Go to the end and stay there. */
  toEnd(): void {
    this.setPinned(true);
    this.keep();
  }

  get atEnd(): boolean {
    return this.pinned;
  }

  dispose(): void {
    this.abort.abort();
    this.observer.disconnect();
  }

  private keep(): void {
    if (!this.overflows()) {
      // A larger panel shows all of it: there is no latest to jump to.
      this.setPinned(true);
    }
    if (this.pinned) {
      this.scroller.scrollTop = this.scroller.scrollHeight;
      this.lastTop = this.scroller.scrollTop;
    } else {
      if (this.toTop) {
        // Turns that are drawn on the way up would push the first one away.
        this.scroller.scrollTop = 0;
      }
      this.onChange(false);
    }
  }

  private letGo(): void {
    if (this.overflows()) {
      this.setPinned(false);
    }
  }

  private overflows(): boolean {
    return this.scroller.scrollHeight > this.scroller.clientHeight + NEAR;
  }

  private scrolled(): void {
    const { scrollTop, scrollHeight, clientHeight } = this.scroller;
    const down = scrollTop > this.lastTop;
    const up = scrollTop < this.lastTop;
    const end = scrollHeight - scrollTop - clientHeight <= NEAR;
    this.lastTop = scrollTop;
    if (down && end) {
      this.setPinned(true);
    } else if (up && !end) {
      // The scroll bar was dragged; content that got shorter ends at the end.
      this.setPinned(false);
    }
  }

  private setPinned(pinned: boolean): void {
    if (pinned !== this.pinned) {
      this.pinned = pinned;
      this.onChange(pinned);
    }
  }

  private pinned = true;
  /** Home was pressed, and nothing moved the transcript since. */
  private toTop = false;
  private lastTop = 0;
  private touch = 0;
  private readonly abort = new AbortController();
  private readonly observer: ResizeObserver;
}
