/** Listeners that are called once a frame, however often something changed in it. */
export class Announcer {
  constructor(
    private readonly schedule: (run: () => void) => void = run => {
      // A hidden page has no frames; nobody looks at it either.
      requestAnimationFrame(run);
    }
  ) {}

  add = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => {
      this.listeners.delete(listener);
    };
  };

  /** Bound, so that a signal can connect it. */
  fire = (): void => {
    if (this.due) {
      return;
    }
    this.due = true;
    this.schedule(() => {
      this.due = false;
      this.listeners.forEach(listener => listener());
    });
  };

  private due = false;
  private readonly listeners = new Set<() => void>();
}
