/** Summing a conversation up, followed from the click to what it brought: the meter's next figure. */
import type { TranslationBundle } from '@jupyterlab/translation';

import type { Preview } from '../chat/preview';
import { Observable, type IChatState } from '../chat/state';
import type { ChatStore } from '../chat/store';
import { goesOn } from '../chat/tree';
import { figure } from './figures';

/** What is told of it: that it runs, or the tokens of a next question before and after; null: nothing. */
export type CompactingNews =
  'running' | { before: number; after: number } | null;

/** Milliseconds that "before → after" stays. */
const TOLD_FOR = 15_000;

/** The branch of a conversation that is summed up, by its end then. */
type Branch = Pick<IChatState, 'conversationId' | 'head'>;

interface ICompactingState {
  news: CompactingNews;
  branch: Branch;
}

export class Compacting extends Observable<ICompactingState> {
  constructor(
    private readonly store: ChatStore,
    private readonly preview: Preview
  ) {
    super({ news: null, branch: { conversationId: '', head: null } });
  }

  /** In place. */
  compact = (): Promise<void> =>
    this.follow(async ({ conversationId }) => {
      const id = await this.store.compact();
      const turn = id === null ? null : await this.store.ended(id);
      return turn?.state === 'complete' ? { conversationId, head: id } : null;
    });

  /** And go on in a new conversation. */
  newFromSummary = (): Promise<void> =>
    this.follow(async from => {
      await this.store.newFromSummary();
      const now = this.store.getState();
      return now.conversationId === from.conversationId ? null : now;
    });

  private async follow(
    act: (from: Branch) => Promise<Branch | null>
  ): Promise<void> {
    const { turns, head, conversationId } = this.store.getState();
    // Right after a refused question the meter has no figure yet: the refused prompt's, then.
    const refused = turns.get(head ?? '')?.receipt?.prompt_tokens ?? null;
    const before = this.tokens() ?? refused;
    const from = { conversationId, head };
    this.set({ news: 'running', branch: from });
    let branch: Branch | null = null;
    try {
      branch = await act(from);
    } finally {
      if (branch) {
        this.tellAfter(before, branch);
      } else {
        this.set({ news: null });
      }
    }
  }

  private tellAfter(
    before: number | null,
    { conversationId, head }: Branch
  ): void {
    this.set({ branch: { conversationId, head } });
    const old = this.preview.getState().receipt;
    const stop = this.preview.subscribe(() => {
      const after = this.tokens();
      if (after === null || this.preview.getState().receipt === old) {
        return;
      }
      stop();
      // The figure of another branch says nothing of this one.
      const here = newsIn(this.state, this.store.getState()) !== null;
      const known = here && before !== null;
      this.set({ news: known ? { before, after } : null });
      setTimeout(() => this.set({ news: null }), TOLD_FOR);
    });
  }

  private tokens(): number | null {
    return this.preview.getState().receipt?.prompt_tokens ?? null;
  }
}

/** What is told where this is shown. */
export function newsIn(
  { news, branch }: ICompactingState,
  {
    conversationId,
    turns,
    head
  }: Pick<IChatState, 'conversationId' | 'turns' | 'head'>
): CompactingNews {
  const here =
    branch.conversationId === conversationId &&
    (branch.head === null || goesOn(turns, head, branch.head));
  return here ? news : null;
}

export function compactingWords(
  trans: TranslationBundle,
  news: CompactingNews
): string | null {
  if (news === null || news === 'running') {
    return news && trans.__('Summing up the conversation…');
  }
  if (news.after >= news.before) {
    // What did not fit was not counted before.
    return trans.__(
      'Summed up: earlier messages are there again, as a summary (%1 tokens)',
      figure(news.after)
    );
  }
  return trans.__(
    'Summed up: %1 → %2 tokens',
    figure(news.before),
    figure(news.after)
  );
}
