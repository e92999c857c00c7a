/** Tabs of one browser and server tell each other what changed. */
import type { IChannel } from './store';

export function browserChannel(scope: string): IChannel {
  const channel =
    typeof BroadcastChannel === 'undefined'
      ? null
      : new BroadcastChannel(`cellar:${scope}`);
  return {
    post: id => channel?.postMessage(id),
    onMessage: listener => {
      if (channel) {
        channel.onmessage = event => listener(String(event.data));
      }
    },
    close: () => channel?.close()
  };
}
