/* SPDX-License-Identifier: Apache-2.0 */
/* Configuration: defaults, file, arguments, the messages for what is wrong, and the texts that
 * help. */
#include "tests/unit/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "shared/config.h"
#include "tests/unit/shared/capture.h"

static char path[] = "/tmp/bourse-config-XXXXXX";
static struct config config;
static struct captured captured;

static void write_file(slice text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(text.data, 1, text.len, file), text.len);
    assert_int_equal(fclose(file), 0);
}

static int make_path(void **state)
{
    (void)state;
    int fd = mkstemp(path);
    return fd < 0 ? -1 : close(fd);
}

static int remove_path(void **state)
{
    (void)state;
    return unlink(path);
}

static status read_text(const char *text)
{
    write_file(slice_of(text));
    config_defaults(&config);
    return config_read_file(&config, path);
}

static status read_arguments(int count, const char *const *arguments)
{
    char *argv[8] = {(char *)"edge"};
    for (int i = 0; i < count; i++) {
        argv[i + 1] = (char *)arguments[i];
    }
    config_defaults(&config);
    return config_read_arguments(&config, "edge", count + 1, argv);
}

TEST(every_option_has_its_default)
{
    config_defaults(&config);
    assert_string_equal(config.instance, "bourse");
    assert_int_equal(config.edge_port, 8080);
    assert_int_equal(config.body_max, 16777216);
    assert_false(config.edge_http2);
    assert_string_equal(config.edge_tls_key, "");
    assert_string_equal(config.durability, "strict");
}

TEST(a_file_sets_what_it_names)
{
    assert_ok(read_text("# an instance\n"
                        "\n"
                        "instance = paris-1\n"
                        "  edge_port=9000   # behind nginx\n"
                        "edge_http2 = true\r\n"
                        "database = host=/run/pg dbname=bourse\n"
                        "edge_tls_key =\n"
                        "upstream_ca_file = /etc/a#b.pem"));
    assert_string_equal(config.instance, "paris-1");
    assert_int_equal(config.edge_port, 9000);
    assert_true(config.edge_http2);
    assert_string_equal(config.database, "host=/run/pg dbname=bourse");
    assert_string_equal(config.edge_tls_key, "");
    assert_string_equal(config.upstream_ca_file, "/etc/a#b.pem");
    assert_int_equal(config.sim_port, 8081); /* not named */
}

TEST(a_number_may_reach_the_ends_of_its_range)
{
    assert_ok(read_text("edge_port = 1\n"));
    assert_int_equal(config.edge_port, 1);
    assert_ok(read_text("edge_port = 65535\n"));
    assert_int_equal(config.edge_port, 65535);
}

TEST(switches_have_three_spellings_each)
{
    const char *const yes[] = {"true", "yes", "on"};
    const char *const no[] = {"false", "no", "off"};
    char text[64];
    for (size_t i = 0; i < 3; i++) {
        snprintf(text, sizeof(text), "simulated = %s\n", yes[i]);
        assert_ok(read_text(text));
        assert_true(config.simulated);
        snprintf(text, sizeof(text), "simulated = true\nsimulated = %s\n", no[i]);
        assert_ok(read_text(text));
        assert_false(config.simulated);
    }
}

static void read_in_child(void *text)
{
    config_defaults(&config);
    write_file(slice_of(text));
    _exit(status_ok(config_read_file(&config, path)) ? 0 : 3);
}

static void assert_refused(const char *text, const char *message)
{
    char expected[1024];
    snprintf(expected, sizeof(expected), "%s:%s", path, message);
    capture(read_in_child, (void *)text, &captured);
    assert_int_equal(captured.exit_code, 3);
    assert_string_equal(captured.text, expected);
}

TEST(what_is_wrong_in_a_file_is_said_with_its_line_and_what_to_do)
{
    assert_refused("instance = a\nedge_prot = 80\n",
                   "2: edge_prot: no option has this name; --help lists them all.\n");
    assert_refused("\n\nedge_port = 65536\n", "3: edge_port: \"65536\" is out of range; "
                                              "write a whole number from 1 to 65535.\n");
    assert_refused("edge_port = 0", "1: edge_port: \"0\" is out of range; "
                                    "write a whole number from 1 to 65535.\n");
    assert_refused("hold_timeout = 2s\n", "1: hold_timeout: \"2s\" is not a number; "
                                          "write a whole number from 50 to 60000 in ms.\n");
    assert_refused("hold_timeout =\n", "1: hold_timeout: \"\" is not a number; "
                                       "write a whole number from 50 to 60000 in ms.\n");
    assert_refused("hold_timeout = 99999999999999999999\n",
                   "1: hold_timeout: \"99999999999999999999\" is out of range; "
                   "write a whole number from 50 to 60000 in ms.\n");
    assert_refused("simulated = maybe\n", "1: simulated: \"maybe\" is neither true nor false; "
                                          "write true or false.\n");
    assert_refused("edge_port 80\n", "1: \"edge_port 80\" is not a setting; "
                                     "write \"name = value\", or # before a comment.\n");
    assert_refused(" = 80\n", "1: : no option has this name; --help lists them all.\n");
}

/* The ledger took every word but "strict" for "fast". */
TEST(a_word_that_is_none_of_a_choice_is_refused)
{
    assert_ok(read_text("durability = fast\n"));
    assert_string_equal(config.durability, "fast");
    assert_ok(read_text("durability = fast\ndurability = strict\n"));
    assert_string_equal(config.durability, "strict");
    const char *const wrong[] = {"Strict", "strikt", "", "strict, fast", ",", "stric", "fast fast"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        char text[64];
        char message[128];
        snprintf(text, sizeof(text), "durability = %s\n", wrong[i]);
        snprintf(message, sizeof(message),
                 "1: durability: \"%s\" is none of its words; write one of: strict, fast.\n",
                 wrong[i]);
        assert_refused(text, message);
    }
}

TEST(a_text_has_at_most_511_bytes)
{
    char text[1024] = "instance = ";
    size_t len = strlen(text);
    memset(text + len, 'x', 511);
    assert_ok(read_text(text));
    assert_int_equal(strlen(config.instance), 511);
    text[len + 511] = 'x';
    assert_refused(text, "1: instance: the value is too long or holds a zero byte; "
                         "write at most 511 bytes of text.\n");
}

static void read_missing_file(void *argument)
{
    (void)argument;
    _exit(status_ok(config_read_file(&config, "/nonexistent/bourse.conf")) ? 0 : 3);
}

TEST(a_file_that_is_not_there_is_named)
{
    capture(read_missing_file, NULL, &captured);
    assert_int_equal(captured.exit_code, 3);
    assert_string_equal(captured.text, "/nonexistent/bourse.conf: No such file or directory. "
                                       "Name a readable file with --config FILE.\n");
}

static void read_huge_file(void *argument)
{
    (void)argument;
    char *text = malloc(300000);
    memset(text, '\n', 300000);
    write_file((slice){text, 300000});
    free(text);
    _exit(status_ok(config_read_file(&config, path)) ? 0 : 3);
}

TEST(a_file_too_large_for_a_configuration_is_refused)
{
    capture(read_huge_file, NULL, &captured);
    assert_int_equal(captured.exit_code, 3);
    assert_non_null(strstr(captured.text, "larger than 262144 bytes"));
}

TEST(the_command_line_wins_over_the_file_wherever_it_stands)
{
    write_file(SLICE("edge_port = 9000\nsim_port = 9001\n"));
    const char *const after[] = {"--config", path, "--edge_port=9002"};
    assert_ok(read_arguments(3, after));
    assert_int_equal(config.edge_port, 9002);
    assert_int_equal(config.sim_port, 9001);
    char joined[64];
    snprintf(joined, sizeof(joined), "--config=%s", path);
    const char *const before[] = {"--edge_port=9002", joined};
    assert_ok(read_arguments(2, before));
    assert_int_equal(config.edge_port, 9002);
    assert_int_equal(config.sim_port, 9001);
}

TEST(an_argument_is_taken_as_it_stands)
{
    const char *const arguments[] = {"--instance=a # b", "--database=host=/run dbname=x"};
    assert_ok(read_arguments(2, arguments));
    assert_string_equal(config.instance, "a # b");
    assert_string_equal(config.database, "host=/run dbname=x");
}

static void read_argument_in_child(void *argument)
{
    const char *const arguments[] = {argument};
    _exit(status_ok(read_arguments(1, arguments)) ? 0 : 3);
}

static void assert_argument_refused(const char *argument, const char *message)
{
    capture(read_argument_in_child, (void *)argument, &captured);
    assert_int_equal(captured.exit_code, 3);
    assert_string_equal(captured.text, message);
}

TEST(what_is_wrong_in_an_argument_is_said_with_what_to_do)
{
    assert_argument_refused("--edge_prot=80",
                            "--edge_prot: no option has this name; --help lists them all.\n");
    assert_argument_refused("--edge_port=x", "--edge_port: \"x\" is not a number; "
                                             "write a whole number from 1 to 65535.\n");
    assert_argument_refused("--edge_port", "edge: \"--edge_port\" is not understood; "
                                           "options are written --name=value, see --help.\n");
    assert_argument_refused("80", "edge: \"80\" is not understood; "
                                  "options are written --name=value, see --help.\n");
    assert_argument_refused("--config", "edge: \"--config\" is not understood; "
                                        "options are written --name=value, see --help.\n");
}

static const char *const option_names[] = {
#define OPTION_INT(name, unit, min, max, default_value, reloadable, sentence) #name,
#define OPTION_TEXT(name, default_value, sentence)                            #name,
#define OPTION_BOOL(name, default_value, sentence)                            #name,
#define OPTION_CHOICE(name, default_value, words, sentence)                   #name,
#include "shared/options.def"
#undef OPTION_INT
#undef OPTION_TEXT
#undef OPTION_BOOL
#undef OPTION_CHOICE
};
#define OPTION_COUNT (sizeof(option_names) / sizeof(option_names[0]))

TEST(help_explains_every_option)
{
    capture(read_argument_in_child, (void *)"--help", &captured);
    assert_int_equal(captured.exit_code, 0);
    assert_memory_equal(captured.text, "usage: edge [--config FILE]", 27);
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        char line[128];
        snprintf(line, sizeof(line), "\n  --%s=", option_names[i]);
        assert_non_null(strstr(captured.text, line));
    }
    assert_non_null(strstr(
        captured.text, "  --hold_timeout=2000\n"
                       "      Time the ledger has to answer a HOLD before the client gets 503.\n"
                       "      (50 to 60000 ms)\n"));
}

TEST(the_sample_file_changes_nothing_until_a_setting_is_uncommented)
{
    capture(read_argument_in_child, (void *)"--print-sample", &captured);
    assert_int_equal(captured.exit_code, 0);
    struct config defaults;
    config_defaults(&defaults);
    assert_ok(read_text(captured.text));
    assert_memory_equal(&config, &defaults, sizeof(config));
}

TEST(every_setting_of_the_sample_file_is_readable)
{
    capture(read_argument_in_child, (void *)"--print-sample", &captured);
    struct config defaults;
    config_defaults(&defaults);
    /* "#name = value" without its # is a setting; "# a sentence" stays a comment. */
    size_t settings = 0;
    for (char *at = captured.text; *at != '\0'; at++) {
        if (at[0] == '\n' && at[1] == '#' && at[2] != ' ') {
            at[1] = ' ';
            settings++;
        }
    }
    assert_int_equal(settings, OPTION_COUNT);
    assert_ok(read_text(captured.text));
    assert_memory_equal(&config, &defaults, sizeof(config));
}

TEST(the_version_is_told)
{
    capture(read_argument_in_child, (void *)"--version", &captured);
    assert_int_equal(captured.exit_code, 0);
    assert_memory_equal(captured.text, "edge (bourse) ", 14);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_option_has_its_default),
        cmocka_unit_test(a_file_sets_what_it_names),
        cmocka_unit_test(a_number_may_reach_the_ends_of_its_range),
        cmocka_unit_test(switches_have_three_spellings_each),
        cmocka_unit_test(what_is_wrong_in_a_file_is_said_with_its_line_and_what_to_do),
        cmocka_unit_test(a_word_that_is_none_of_a_choice_is_refused),
        cmocka_unit_test(a_text_has_at_most_511_bytes),
        cmocka_unit_test(a_file_that_is_not_there_is_named),
        cmocka_unit_test(a_file_too_large_for_a_configuration_is_refused),
        cmocka_unit_test(the_command_line_wins_over_the_file_wherever_it_stands),
        cmocka_unit_test(an_argument_is_taken_as_it_stands),
        cmocka_unit_test(what_is_wrong_in_an_argument_is_said_with_what_to_do),
        cmocka_unit_test(help_explains_every_option),
        cmocka_unit_test(the_sample_file_changes_nothing_until_a_setting_is_uncommented),
        cmocka_unit_test(every_setting_of_the_sample_file_is_readable),
        cmocka_unit_test(the_version_is_told),
    };
    return cmocka_run_group_tests_name("config", tests, make_path, remove_path);
}
