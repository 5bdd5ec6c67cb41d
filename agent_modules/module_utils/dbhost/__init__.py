# Copyright: DBHost contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""What DBHost's modules share. Runs under a host's own Python: 3.11 with psycopg 3.1.7 on Debian 12."""
