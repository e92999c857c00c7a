/** Summing a conversation up, followed from the click to what it brought: the meter's next figure. */
import type { TranslationBundle } from '@jupyterlab/translation';

import type { Preview } from '../chat/preview';
import { Observable } from '../chat/state';
import type { ChatStore } from '../chat/store';
import { figure } from './figures';

/** What is told of it: that it runs, or the tokens of a next question before and after; null: nothing. */
export type CompactingNews =
  'running' | { before: number; after: number } | null;

/** Milliseconds that "before → after" stays. */
const TOLD_FOR = 15_000;

export class Compacting extends Observable<{ news: CompactingNews }> {
  constructor(
    private readonly store: ChatStore,
    private readonly preview: Preview
  ) {
    super({ news: null });
  }

  /** In place. */
  compact = (): Promise<void> =>
    this.follow(async () => {
      const id = await this.store.compact();
      const turn = id === null ? null : await this.store.ended(id);
      return turn?.state === 'complete';
    });

  /** And go on in a new conversation. */
  newFromSummary = (): Promise<void> =>
    this.follow(async () => {
      const from = this.store.getState().conversationId;
      await this.store.newFromSummary();
      return this.store.getState().conversationId !== from;
    });

  private async follow(act: () => Promise<boolean>): Promise<void> {
    const { turns, head } = this.store.getState();
    // Right after a refused question the meter has no figure yet: the refused prompt's, then.
    const refused = turns.get(head ?? '')?.receipt?.prompt_tokens ?? null;
    const before = this.tokens() ?? refused;
    this.set({ news: 'running' });
    let done = false;
    try {
      done = await act();
    } finally {
      if (done) {
        this.tellAfter(before);
      } else {
        this.set({ news: null });
      }
    }
  }

  private tellAfter(before: number | null): void {
    const old = this.preview.getState().receipt;
    const stop = this.preview.subscribe(() => {
      const after = this.tokens();
      if (after === null || this.preview.getState().receipt === old) {
        return;
      }
      stop();
      this.set({ news: before === null ? null : { before, after } });
      setTimeout(() => this.set({ news: null }), TOLD_FOR);
    });
  }

  private tokens(): number | null {
    return this.preview.getState().receipt?.prompt_tokens ?? null;
  }
}

export function compactingWords(
  trans: TranslationBundle,
  news: CompactingNews
): string | null {
  if (news === null || news === 'running') {
    return news && trans.__('Summing up the conversation…');
  }
  return trans.__(
    'Summed up: %1 → %2 tokens',
    figure(news.before),
    figure(news.after)
  );
}
