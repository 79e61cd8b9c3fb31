/* A MySQL authentication plugin that asks a judge on the network whether a token may sign in.
 *
 * Stands in for AWSAuthenticationPlugin of RDS and aad_auth of Azure, which exist only there. The client is told
 * to send its password as it is (mysql_clear_password), as with both of them. The judge's address is in the
 * environment of mysqld: TOKEN_JUDGE=HOST:PORT. It is sent "USER TOKEN\n" and answers "yes" or "no".
 *
 * Only what is needed of the server's plugin interface is declared here (MySQL 8.0 to 9.7, version 0x010b, of
 * authentication 0x0201), so that the plugin is built without the server's headers.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { AUTHENTICATION_PLUGIN = 7, LICENSE_GPL = 1, ACCEPTED = -1, REFUSED = 0 };

struct channel {
  int (*read)(struct channel *, unsigned char **);
  int (*write)(struct channel *, const unsigned char *, int);
};

struct login {
  char *user; /* more follows, unused here */
};

struct authentication {
  int version;
  const char *client_plugin;
  int (*authenticate)(struct channel *, struct login *);
  int (*generate)(char *, unsigned *, const char *, unsigned);
  int (*validate)(char *const, unsigned);
  int (*salt)(const char *, unsigned, unsigned char *, unsigned char *);
  const unsigned long flags;
  int (*compare)(const char *, unsigned long, const char *, unsigned long, int *);
};

struct plugin {
  int type;
  void *info;
  const char *name, *author, *description;
  int license;
  int (*init)(void *), (*check_uninstall)(void *), (*deinit)(void *);
  unsigned version;
  void *status, *variables, *reserved;
  unsigned long flags;
};

static int ask(const char *user, const char *token) {
  char host[64], answer[4] = "", *line = NULL;
  const char *judge = getenv("TOKEN_JUDGE");
  struct sockaddr_in address = {.sin_family = AF_INET};
  unsigned port;
  if (!judge || sscanf(judge, "%63[^:]:%u", host, &port) != 2) return REFUSED;
  address.sin_port = htons((unsigned short)port);
  if (inet_pton(AF_INET, host, &address.sin_addr) != 1) return REFUSED;
  int peer = socket(AF_INET, SOCK_STREAM, 0);
  struct timeval limit = {.tv_sec = 10};
  setsockopt(peer, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  if (connect(peer, (struct sockaddr *)&address, sizeof address) == 0) {
    int length = asprintf(&line, "%s %s\n", user, token);
    if (length > 0 && send(peer, line, (size_t)length, MSG_NOSIGNAL) == length)
      recv(peer, answer, 3, MSG_WAITALL);
    free(line);
  }
  close(peer);
  return strcmp(answer, "yes") == 0 ? ACCEPTED : REFUSED;
}

static int authenticate(struct channel *channel, struct login *login) {
  unsigned char *packet;
  int length = channel->read(channel, &packet);
  if (length < 2 || packet[length - 1] != 0) return REFUSED;
  return ask(login->user, (const char *)packet);
}

/* The account's authentication string is kept as it is given. */
static int generate(char *to, unsigned *size, const char *from, unsigned length) {
  if (length > *size) return 1;
  memcpy(to, from, length);
  *size = length;
  return 0;
}

static int validate(char *const text, unsigned length) {
  (void)text, (void)length;
  return 0;
}

static int salt(const char *text, unsigned length, unsigned char *to, unsigned char *size) {
  (void)text, (void)length, (void)to;
  *size = 0;
  return 0;
}

static struct authentication by_token = {
    0x0201, "mysql_clear_password", authenticate, generate, validate, salt, 0, NULL};

int _mysql_plugin_interface_version_ = 0x010b;
int _mysql_sizeof_struct_st_plugin_ = sizeof(struct plugin);
struct plugin _mysql_plugin_declarations_[] = {
    {AUTHENTICATION_PLUGIN, &by_token, "AWSAuthenticationPlugin", "tests", "Stands in for RDS's plugin",
     LICENSE_GPL, NULL, NULL, NULL, 1, NULL, NULL, NULL, 0},
    {AUTHENTICATION_PLUGIN, &by_token, "aad_auth", "tests", "Stands in for Azure's plugin", LICENSE_GPL, NULL,
     NULL, NULL, 1, NULL, NULL, NULL, 0},
    {0}};
