/**
 * When an answer ends where nobody looks (a hidden tab, a hidden panel, a conversation
 * that is not shown), a mark waits on the page's title, on the panel's icon and on the
 * conversation's row, and, if the user wanted that, the browser tells it. Knows no
 * widget: what marks is handed in.
 */
import { FINAL_STATES } from '../wire/types';
import type { ITurn } from '../wire/types';
import type { Turns } from './tree';

export interface IAttentionOptions {
  /** the state and its changes: the chat's store */
  turns(): Turns;
  subscribe(listener: () => void): () => void;
  /** somebody can see the panel now */
  seen(): boolean;
  /** the conversation that the panel shows */
  shown(): string;
  /** fires when `seen` may have changed */
  onSeen(listener: () => void): () => void;
  /** ids of the conversations there are: answers of one that was deleted are none */
  conversations(): readonly string[];
  /** what ended unseen: a turn's id and its conversation's; empty takes the mark away */
  mark(unseen: Unseen): void;
  /** show a notification; only called for turns that ended unseen */
  tell(turn: ITurn): void;
}

export type Unseen = ReadonlyMap<string, string>;

/** Answers the way to end it. */
export function watchAttention(options: IAttentionOptions): () => void {
  let before = options.turns();
  let known = options.conversations();
  let unseen: Unseen = new Map();
  const isSeen = (conversation: string): boolean =>
    options.seen() && conversation === options.shown();
  const set = (next: Unseen): void => {
    const changes = [...unseen.keys()].join() !== [...next.keys()].join();
    unseen = next;
    if (changes) {
      options.mark(unseen);
    }
  };
  const look = (): void => {
    const now = options.turns();
    const left = options.conversations();
    const deleted = new Set(known.filter(id => !left.includes(id)));
    const ended = endedBetween(before, now).filter(
      turn => !isSeen(turn.conversation_id)
    );
    before = now;
    known = left;
    set(
      new Map([
        ...[...unseen].filter(([, id]) => !isSeen(id) && !deleted.has(id)),
        ...ended.map(turn => [turn.id, turn.conversation_id] as const)
      ])
    );
    ended.forEach(turn => options.tell(turn));
  };
  const stops = [options.subscribe(look), options.onSeen(look)];
  return () => {
    stops.forEach(stop => stop());
    set(new Map());
  };
}

/** Turns that were on their way and have ended; what the user stopped is no news. */
export function endedBetween(before: Turns, now: Turns): ITurn[] {
  if (before === now) {
    return [];
  }
  return [...now.values()].filter(turn => {
    const was = before.get(turn.id);
    return (
      was !== undefined &&
      !FINAL_STATES.has(was.state) &&
      FINAL_STATES.has(turn.state) &&
      turn.stopped_by !== 'user'
    );
  });
}

/** Needs a secure context (https, or localhost): elsewhere there is only the mark. */
export function canNotify(): boolean {
  return window.isSecureContext && 'Notification' in window;
}

/** Only from a click of the user: browsers refuse it otherwise. */
export async function askToNotify(): Promise<boolean> {
  return canNotify() && (await Notification.requestPermission()) === 'granted';
}

export function notify(title: string, body: string, click: () => void): void {
  if (!canNotify() || Notification.permission !== 'granted') {
    return;
  }
  try {
    const notification = new Notification(title, { body, tag: 'cellar' });
    notification.onclick = () => {
      window.focus();
      click();
      notification.close();
    };
  } catch {
    // Some browsers only notify from a service worker.
  }
}
