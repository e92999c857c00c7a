/**
 * Drafts: what was typed and attached but not sent, per conversation. They live
 * in the browser's own storage, so a reload, a crash or a switch of conversation
 * loses nothing, and no half-typed thought reaches the server.
 *
 * A tab finds its own draft again (`sessionStorage`). A new tab begins with the one
 * that was written last by any (`localStorage`): there each draft stands beside those
 * of other tabs, and a tab replaces only the one it has gone on from.
 */
import type { ContextPart, IImagePart, ITurn } from '../wire/types';

/** A context item without its `read`: that is found again after a reload. */
export interface ISavedItem {
  key: string;
  kind: ContextPart['type'];
  label: string;
  path?: string;
  /** pictures have no home but the draft itself */
  image?: IImagePart;
  /** a selection or cells as they were added: nobody may find them again */
  part?: ContextPart;
}

export interface IDraft {
  text: string;
  items: ISavedItem[];
  /** keys of automatic items that were taken off */
  dismissed: string[];
  /** the `request_key` of a question that was put back: the server may have it */
  key?: string;
  /** the pending turn that is being edited above the draft, and its text so far */
  edit?: { turn: ITurn; text: string };
}

export const EMPTY_DRAFT: IDraft = { text: '', items: [], dismissed: [] };

/** The part of `Storage` that is used; a browser may refuse it altogether. */
export interface IDraftStorage {
  getItem(key: string): string | null;
  setItem(key: string, value: string): void;
  removeItem(key: string): void;
}

/** Characters of pictures kept in a draft: browsers give an origin about 5 MB. */
const MAX_IMAGES = 1_500_000;

/** Drafts of one conversation that all tabs keep; the oldest goes first. */
const MOST_DRAFTS = 8;

/** In a tab's own storage: the draft was sent or deleted here, whatever other tabs have. */
const NOTHING = '';

/** Milliseconds between a key and the storage: a long paste is not written per key. */
const WRITE_REST = 300;

function isEmpty(draft: IDraft): boolean {
  return (
    !draft.text && !draft.items.length && !draft.dismissed.length && !draft.edit
  );
}

function isDraft(value: unknown): value is IDraft {
  const draft = value as Partial<IDraft> | null;
  return (
    typeof draft === 'object' &&
    draft !== null &&
    typeof draft.text === 'string' &&
    Array.isArray(draft.items) &&
    Array.isArray(draft.dismissed)
  );
}

export class Drafts {
  constructor(
    /** of all tabs */
    private readonly shared: IDraftStorage | null,
    /** tells servers on one origin apart (`/user/ann/`, `/user/bob/`) */
    private readonly scope: string,
    /** of this tab: it lives as long as that */
    private readonly own: IDraftStorage | null = null
  ) {}

  load(conversation: string): IDraft {
    const kept = this.memory.get(conversation);
    if (kept) {
      return kept;
    }
    const text = this.read(conversation);
    const draft = parsed(text);
    if (!isDraft(draft)) {
      return EMPTY_DRAFT;
    }
    this.origin.set(conversation, text);
    return draft;
  }

  private read(conversation: string): string {
    try {
      const key = this.key(conversation);
      return this.own?.getItem(key) ?? this.everyones(key).pop() ?? NOTHING;
    } catch {
      return NOTHING;
    }
  }

  /** What all tabs have of a conversation, last written last. */
  private everyones(key: string): string[] {
    const list = parsed(this.shared?.getItem(key) ?? NOTHING);
    return Array.isArray(list)
      ? list.filter(isDraft).map(draft => JSON.stringify(draft))
      : [];
  }

  /** Kept at once in this page, written to the storage a moment later. */
  save(conversation: string, draft: IDraft): void {
    this.memory.set(conversation, draft);
    this.unwritten.add(conversation);
    this.timer ??= setTimeout(() => this.flush(), WRITE_REST);
  }

  /** Write now: the page is being closed or hidden. */
  flush(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    this.unwritten.forEach(conversation => {
      if (this.write(conversation)) {
        this.refused.delete(conversation);
      } else {
        this.refused.add(conversation);
      }
    });
    this.unwritten.clear();
    this.onWritten();
  }

  /** Does a reload find all of it? As of the last write, which `onWritten` tells. */
  isKept(conversation: string): boolean {
    return !this.refused.has(conversation);
  }

  onWritten = (): void => {};

  /** False: only this page's memory has all of it. */
  private write(conversation: string): boolean {
    const draft = this.memory.get(conversation) ?? EMPTY_DRAFT;
    const small = withoutBigImages(draft);
    const text = isEmpty(draft) ? NOTHING : JSON.stringify(small);
    const key = this.key(conversation);
    const here = this.put(this.own, key, text);
    const everywhere = this.share(conversation, text);
    if (everywhere) {
      this.origin.set(conversation, text);
    }
    return (
      text === NOTHING ||
      ((here || everywhere) && small.items.length === draft.items.length)
    );
  }

  /** Beside the drafts of other tabs, in place of the one that it was made of. */
  private share(conversation: string, text: string): boolean {
    const key = this.key(conversation);
    try {
      const origin = this.origin.get(conversation);
      const others = this.everyones(key).filter(
        other => other !== origin && other !== text
      );
      const list = text === NOTHING ? others : [...others, text];
      return (
        this.put(this.shared, key, asList(list.slice(-MOST_DRAFTS))) ||
        this.put(this.shared, key, asList(text === NOTHING ? [] : [text]))
      );
    } catch {
      return false;
    }
  }

  /** False: the browser has no room for it, or forbids it. */
  private put(
    storage: IDraftStorage | null,
    key: string,
    text: string
  ): boolean {
    try {
      if (text === NOTHING && storage === this.shared) {
        storage?.removeItem(key);
      } else {
        storage?.setItem(key, text);
      }
      return storage !== null;
    } catch {
      return false;
    }
  }

  private key(conversation: string): string {
    return `cellar:draft:${this.scope}:${conversation}`;
  }

  private readonly memory = new Map<string, IDraft>();
  /** per conversation, what this tab has gone on from, as it stands with all tabs */
  private readonly origin = new Map<string, string>();
  private readonly unwritten = new Set<string>();
  private readonly refused = new Set<string>();
  private timer: ReturnType<typeof setTimeout> | undefined;
}

function parsed(text: string): unknown {
  try {
    return text === NOTHING ? null : JSON.parse(text);
  } catch {
    return null;
  }
}

function asList(drafts: readonly string[]): string {
  return drafts.length ? `[${drafts.join(',')}]` : NOTHING;
}

function withoutBigImages(draft: IDraft): IDraft {
  let room = MAX_IMAGES;
  const items = draft.items.filter(item => {
    room -= item.image?.image.data.length ?? 0;
    return item.image === undefined || room >= 0;
  });
  return { ...draft, items };
}
