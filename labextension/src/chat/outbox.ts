/**
 * Questions on their way: taken out of the composer, not yet acknowledged. They are
 * kept in the tab's own storage, so that a reload in that moment loses none: one whose
 * parts were read is posted, with its key (the server asks it once), any other was
 * never posted and goes back into the composer.
 */
import type { IDraftStorage, ISavedItem } from './drafts';
import type { IQuestion } from './question';

export interface IUnsent {
  /** the `request_key` */
  key: string;
  conversation: string;
  /** `IPlace.opened`, of the page that asked */
  place: number;
  text: string;
  items: ISavedItem[];
  /** as it is posted; null: its parts were not read yet, or are too long to keep */
  question: IQuestion | null;
}

/** Characters of one question: browsers give an origin about 5 MB. */
const MAX_QUESTION = 1_500_000;

export class Outbox {
  constructor(
    private readonly storage: IDraftStorage | null,
    scope: string
  ) {
    this.name = `cellar:unsent:${scope}`;
    // A place of the page before this one is none of this page's.
    this.read().forEach(unsent => {
      this.kept.set(unsent.key, JSON.stringify({ ...unsent, place: -1 }));
    });
  }

  /** Keep it, or what is known of it since. */
  put(unsent: IUnsent): void {
    const whole = JSON.stringify(unsent);
    const fits = whole.length <= MAX_QUESTION;
    this.kept.set(
      unsent.key,
      fits ? whole : JSON.stringify({ ...unsent, question: null })
    );
    this.write();
  }

  /** The new conversation of a place has its id: what was asked there since belongs to it. */
  found(place: number, id: string): void {
    for (const unsent of this.all()) {
      if (unsent.place === place && unsent.conversation === '') {
        const question = unsent.question && {
          ...unsent.question,
          conversationId: id
        };
        this.put({ ...unsent, conversation: id, question });
      }
    }
  }

  /** The server has it, or it is in the composer again. */
  drop(key: string): void {
    this.kept.delete(key);
    this.write();
  }

  all(): IUnsent[] {
    return [...this.kept.values()].map(text => JSON.parse(text) as IUnsent);
  }

  private read(): IUnsent[] {
    try {
      const value: unknown = JSON.parse(
        this.storage?.getItem(this.name) ?? '[]'
      );
      return Array.isArray(value) ? value.filter(isUnsent) : [];
    } catch {
      return [];
    }
  }

  private write(): void {
    try {
      if (this.kept.size) {
        const all = [...this.kept.values()].join(',');
        this.storage?.setItem(this.name, `[${all}]`);
      } else {
        this.storage?.removeItem(this.name);
      }
    } catch {
      // The storage is full or forbidden: then only this page knows of it.
    }
  }

  private readonly name: string;
  /** as they stand in the storage, by their keys, in the order asked; a page has one outbox */
  private readonly kept = new Map<string, string>();
}

function isUnsent(value: unknown): value is IUnsent {
  const unsent = value as Partial<IUnsent> | null;
  return (
    typeof unsent === 'object' &&
    unsent !== null &&
    typeof unsent.key === 'string' &&
    typeof unsent.conversation === 'string' &&
    typeof unsent.text === 'string' &&
    Array.isArray(unsent.items)
  );
}
