/**
 * Drafts: what was typed and attached but not sent, per conversation. They live
 * in the browser's own storage, so a reload, a crash or a switch of conversation
 * loses nothing, and no half-typed thought reaches the server.
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
    private readonly storage: IDraftStorage | null,
    /** tells servers on one origin apart (`/user/ann/`, `/user/bob/`) */
    private readonly scope: string
  ) {}

  load(conversation: string): IDraft {
    const kept = this.memory.get(conversation);
    if (kept) {
      return kept;
    }
    try {
      const text = this.storage?.getItem(this.key(conversation)) ?? '';
      const value: unknown = text === '' ? null : JSON.parse(text);
      return isDraft(value) ? value : EMPTY_DRAFT;
    } catch {
      return EMPTY_DRAFT;
    }
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
    try {
      if (isEmpty(draft)) {
        this.storage?.removeItem(this.key(conversation));
        return true;
      }
      const small = withoutBigImages(draft);
      this.storage?.setItem(this.key(conversation), JSON.stringify(small));
      return this.storage !== null && small.items.length === draft.items.length;
    } catch {
      // full, or forbidden
      return isEmpty(draft);
    }
  }

  private key(conversation: string): string {
    return `cellar:draft:${this.scope}:${conversation}`;
  }

  private readonly memory = new Map<string, IDraft>();
  private readonly unwritten = new Set<string>();
  private readonly refused = new Set<string>();
  private timer: ReturnType<typeof setTimeout> | undefined;
}

function withoutBigImages(draft: IDraft): IDraft {
  let room = MAX_IMAGES;
  const items = draft.items.filter(item => {
    room -= item.image?.image.data.length ?? 0;
    return item.image === undefined || room >= 0;
  });
  return { ...draft, items };
}
