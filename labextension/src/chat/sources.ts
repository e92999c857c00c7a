/** All sources of context as one, in the order they came. */
import { answersTo, isNamed, isSpaced } from './mentions';
import type { IContextItem, IContextSource, IDragData } from './tokens';

export class Sources implements Required<IContextSource> {
  add(source: IContextSource): void {
    this.sources.push(source);
    source.onChanged(() => this.changed());
    this.changed();
  }

  automatic(): IContextItem[] {
    return this.sources.flatMap(source => source.automatic());
  }

  onChanged(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /**
   * In their order, but for what only scattered letters of its label match, or
   * more than its label: that comes behind. Behind a space only what is named so, or
   * any sentence would find something. One that fails offers nothing.
   */
  async mentions(query: string, search: boolean): Promise<IContextItem[]> {
    const answers = await Promise.all(
      this.sources.map(source => source.mentions(query, search).catch(() => []))
    );
    const all = answers.flat();
    const found = isSpaced(query)
      ? all.filter(item => answersTo(item, query))
      : all;
    const named = found.filter(item => isNamed(item.label, query));
    const others = found.filter(item => !isNamed(item.label, query));
    return [...named, ...others];
  }

  lastError(): IContextItem | null {
    return this.first(source => source.lastError?.());
  }

  resolve(key: string): IContextItem | null {
    return this.first(source => source.resolve?.(key));
  }

  async dropped(data: IDragData): Promise<IContextItem[]> {
    const answers = await Promise.all(
      this.sources.map(source => source.dropped?.(data) ?? [])
    );
    return answers.flat();
  }

  private first(
    ask: (source: IContextSource) => IContextItem | null | undefined
  ): IContextItem | null {
    for (const source of this.sources) {
      const found = ask(source);
      if (found) {
        return found;
      }
    }
    return null;
  }

  private changed(): void {
    this.listeners.forEach(listener => listener());
  }

  private readonly sources: IContextSource[] = [];
  private readonly listeners = new Set<() => void>();
}
