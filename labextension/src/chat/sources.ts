/** All sources of context as one, in the order they came. */
import { bestMatches } from './mentions';
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
   * Best matches first, whatever their source; what a source found by more than
   * its label (a folder, a path) comes behind. One that fails offers nothing.
   */
  async mentions(query: string, search: boolean): Promise<IContextItem[]> {
    const answers = await Promise.all(
      this.sources.map(source => source.mentions(query, search).catch(() => []))
    );
    const found = answers.flat();
    const matching = bestMatches(found, query, item => item.label);
    const others = found.filter(item => !matching.includes(item));
    return [...matching, ...others];
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
