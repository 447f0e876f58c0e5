package chatclient

import (
	"context"
	"errors"

	"github.com/parleyproto/parley/chatproto"
)

// request makes a request that is no message, and waits for its answer. When
// the connection breaks before the answer it is asked again on the next one:
// all of them may be asked twice (SPEC section 6).
func (c *Client) request(ctx context.Context, verb chatproto.Code, key, value string) (*call, error) {
	k := newCall(verb, key, value, "")
	if err := c.begin(ctx, k); err != nil {
		return nil, err
	}
	return k, c.wait(ctx, k)
}

// ofUser makes a request that names a user.
func (c *Client) ofUser(ctx context.Context, verb chatproto.Code, user string) (string, error) {
	if err := chatproto.CheckName(user); err != nil {
		return "", err
	}
	k, err := c.request(ctx, verb, "user", user)
	if err != nil {
		return "", err
	}
	return k.reply.text, nil
}

// errList says that a list does not go forward.
var errList = errors.New("chatclient: the server's list of users is out of order")

// Online returns the names of the users who are online, sorted, oneself and
// those who blocked this user left out.
func (c *Client) Online(ctx context.Context) ([]string, error) {
	var users []string
	key, after := "", ""
	for {
		k, err := c.request(ctx, chatproto.ONLN, key, after)
		if err != nil {
			return nil, err
		}
		users = append(users, k.entries...)
		if k.reply.more == "" {
			return users, nil
		}
		if k.reply.more <= after {
			return nil, errList
		}
		key, after = "after", k.reply.more
	}
}

// Block blocks user, who is told so and neither reaches nor sees this user
// any more, and returns the server's sentence. A private line of theirs is
// closed at once. To block twice is no error.
func (c *Client) Block(ctx context.Context, user string) (string, error) {
	c.peers.takeBack(user)
	return c.ofUser(ctx, chatproto.BLOK, user)
}

// Unblock takes a block back and returns the server's sentence.
func (c *Client) Unblock(ctx context.Context, user string) (string, error) {
	return c.ofUser(ctx, chatproto.UBLK, user)
}
